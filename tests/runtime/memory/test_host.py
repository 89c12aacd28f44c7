"""What is mapped into the GPU and what is copied, over a driver that is faked."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import fake_cuda
import gpu_fixture
import numpy as np
import pytest

from runtime.memory import gpu as gpu_module
from runtime.memory import host
from runtime.memory.gpu import this_gpu
from runtime.memory.host import HostMemory, Staging, address


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_cuda.Gpu]:
    yield gpu_fixture.install(monkeypatch)
    gpu_module._only.cache_clear()


def buffer(size: int = 8192) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)


def read_only(path: Path) -> np.ndarray:
    path.write_bytes(bytes(4096))
    with path.open("rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_READ), np.uint8)


def test_arrays_of_one_map_are_found_where_they_lie_in_it(gpu: fake_cuda.Gpu) -> None:
    memory, whole = HostMemory(this_gpu()), buffer()
    image = whole[96 : 96 + 48].view(np.uint16).reshape(4, 6)
    assert memory.find(whole) == address(whole) + fake_cuda.FAR
    assert memory.find(image) == address(whole) + fake_cuda.FAR + 96
    assert gpu.registered == {address(whole): 8192}


def test_a_map_that_ends_within_a_page_is_registered_in_whole_pages(gpu: fake_cuda.Gpu) -> None:
    whole = buffer(5000)
    assert HostMemory(this_gpu()).find(whole)
    assert gpu.registered == {address(whole): 8192}


def test_memory_of_numpy_s_own_and_arrays_with_gaps_are_not_mapped(gpu: fake_cuda.Gpu) -> None:
    memory = HostMemory(this_gpu())
    assert memory.find(np.zeros(4096, np.uint8)) == 0
    assert memory.find(buffer()[::2]) == 0
    assert not gpu.registered
    assert not memory.refused


def test_memory_stays_mapped_as_long_as_it_is_registered(gpu: fake_cuda.Gpu) -> None:
    memory, whole = HostMemory(this_gpu()), buffer()
    whole[:] = 7
    pointer = memory.find(whole)
    del whole
    assert (fake_cuda.host(pointer, (8192,), np.uint8) == 7).all()
    memory.close()
    assert not gpu.registered


def test_a_ring_can_be_mapped_before_its_first_use(gpu: fake_cuda.Gpu) -> None:
    memory, ring = HostMemory(this_gpu()), buffer()
    assert memory.share(ring)
    assert not memory.share(np.zeros(4096, np.uint8))
    assert list(gpu.registered) == [address(ring)]


def test_a_map_that_nobody_asks_for_any_more_is_let_go(gpu: fake_cuda.Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "_SWEEP", 10)
    monkeypatch.setattr(host, "UNUSED_AFTER", 20)
    memory, old, new = HostMemory(this_gpu()), buffer(), buffer()
    memory.find(old)
    for _ in range(40):
        memory.find(new)
    assert list(gpu.registered) == [address(new)]


@pytest.mark.parametrize("able", [False, True])
def test_a_read_only_map_needs_a_device_that_can(gpu: fake_cuda.Gpu, tmp_path: Path, able: bool) -> None:
    gpu.attributes["READ_ONLY_HOST_REGISTER_SUPPORTED"] = int(able)
    memory = HostMemory(this_gpu())
    assert bool(memory.find(read_only(tmp_path / "ring"))) == able
    assert memory.refused == ([] if able else ["the device does not map memory that may only be read"])


def test_a_refusal_is_told_once_and_not_tried_again_for_that_map(gpu: fake_cuda.Gpu) -> None:
    gpu.refuses["cuMemHostRegister"] = fake_cuda.real.CUresult.CUDA_ERROR_INVALID_VALUE
    memory, whole = HostMemory(this_gpu()), buffer()
    assert [memory.find(whole) for _ in range(3)] == [0, 0, 0]
    assert memory.refused == ["cuMemHostRegister: CUDA_ERROR_INVALID_VALUE"]
    assert gpu.log.count("cuMemHostRegister") == 1


def test_what_is_copied_is_the_same_on_both_sides(gpu: fake_cuda.Gpu) -> None:
    image = np.arange(30, dtype=np.uint16).reshape(5, 6)
    staging = Staging(this_gpu(), image.nbytes)
    np.testing.assert_array_equal(fake_cuda.host(staging.put(image), (5, 6), np.uint16), image)
    back = np.zeros_like(image)
    staging.get(back)
    np.testing.assert_array_equal(back, image)


def test_the_context_is_on_the_stack_of_a_thread_once(gpu: fake_cuda.Gpu) -> None:
    assert this_gpu() is this_gpu()
    assert gpu.contexts == 1
    assert gpu.log.count("init") == 1
