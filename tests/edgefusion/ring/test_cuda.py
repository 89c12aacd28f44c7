"""A frame on the GPU, as far as a machine without one can tell; tests/hardware/test_ring.py has the real thing."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from rings import SIZE, publish

from edgefusion import subscribe
from edgefusion.core.errors import MachineError
from edgefusion.ring.writer import RingWriter

DEVICE_BEGIN = 0x7_0000_0000


class Driver(ModuleType):
    """pycuda.driver, as far as a ring uses it."""

    Error = type("Error", (Exception,), {})
    mem_host_register_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, *, refuses: bool = False) -> None:
        super().__init__("pycuda.driver")
        self.refuses = refuses
        self.registered: list[tuple[np.ndarray, int]] = []

    def register_host_memory(self, array: np.ndarray, flags: int) -> SimpleNamespace:
        if self.refuses:
            raise self.Error("cuMemHostRegister failed: operation not supported")
        self.registered.append((array, flags))
        return SimpleNamespace(base=SimpleNamespace(get_device_pointer=lambda: DEVICE_BEGIN))


def install(monkeypatch: pytest.MonkeyPatch, driver: Driver) -> Driver:
    monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    return driver


def test_the_ring_is_registered_once_read_only_and_frames_lie_in_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = install(monkeypatch, Driver())
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        for frame_id in range(3):
            publish(ring, frame_id)
            frame = next(frames)
            view = frame.cuda()
            facts = view.__cuda_array_interface__
            array, flags = driver.registered[0]
            assert (facts["shape"], facts["typestr"], facts["version"]) == ((120, 160, 3), "|u1", 3)
            assert facts["data"] == (DEVICE_BEGIN + frame.rgb.ctypes.data - array.ctypes.data, True)
            assert flags == 2 | 8
            del frame
            assert [reader.leased for reader in ring.readers()] == [1], "the view holds the lease"
            del view
        assert len(driver.registered) == 1
        assert array.ctypes.data % 4096 == array.size % 4096 == 0


def test_a_driver_that_refuses_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(refuses=True))
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        publish(ring, 0)
        with next(frames) as frame, pytest.raises(MachineError, match=r"not supported.*upload frame.copy\(\)"):
            frame.cuda()
