"""A DMABUF by way of EGL, over a driver and an EGL that are faked; the buffer is a real one, a memfd."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import fake_cuda
import gpu_fixture
import numpy as np
import pytest

from runtime.memory import dmabuf
from runtime.memory import gpu as gpu_module
from runtime.memory.gpu import CudaError, this_gpu
from runtime.memory.host import HostMemory, address

SIZE = 3 * 4096


class Egl:
    """Maps the descriptor anew, as EGL would; ``wrong`` lets it see other memory."""

    def __init__(self, *, wrong: bool = False) -> None:
        self.images: dict[int, np.ndarray] = {}
        self._wrong = wrong

    def image(self, fd: int, rows: int) -> int:
        assert rows == SIZE // 4096
        memory = mmap.mmap(-1, SIZE) if self._wrong else mmap.mmap(fd, SIZE)
        array = np.frombuffer(memory, np.uint8)
        self.images[address(array)] = array
        return address(array)

    def destroy(self, image: int) -> None:
        del self.images[image]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_cuda.Gpu]:
    yield gpu_fixture.install(monkeypatch)
    gpu_module._only.cache_clear()


@pytest.fixture
def fd() -> Iterator[int]:
    made = os.memfd_create("buffer")
    os.ftruncate(made, SIZE)
    yield made
    os.close(made)


def mapped(fd: int) -> np.ndarray:
    memory = np.frombuffer(mmap.mmap(fd, SIZE), np.uint8)
    memory[:] = 9
    return memory


def test_the_gpu_sees_what_is_written_later(gpu: fake_cuda.Gpu, fd: int) -> None:
    memory, egl = mapped(fd), Egl()
    imported = dmabuf.Import(this_gpu(), fd, memory, egl=egl)
    assert (memory == 9).all()
    memory[5000:] = 3
    np.testing.assert_array_equal(fake_cuda.host(imported.pointer, (SIZE,), np.uint8), memory)
    imported.close()
    assert not egl.images
    assert not gpu.images


def test_an_import_that_shows_other_memory_is_refused_and_undone(gpu: fake_cuda.Gpu, fd: int) -> None:
    memory, egl = mapped(fd), Egl(wrong=True)
    with pytest.raises(CudaError, match="does not see in the DMABUF"):
        dmabuf.Import(this_gpu(), fd, memory, egl=egl)
    assert (memory == 9).all()
    assert not egl.images
    assert not gpu.images


def test_a_buffer_that_cannot_be_registered_is_shared_through_egl(
    gpu: fake_cuda.Gpu, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu.refuses["cuMemHostRegister"] = fake_cuda.real.CUresult.CUDA_ERROR_INVALID_VALUE
    egl = Egl()
    monkeypatch.setattr(dmabuf, "system_egl", lambda: egl)
    host, memory = HostMemory(this_gpu()), mapped(fd)
    assert host.share(memory, fd)
    np.testing.assert_array_equal(fake_cuda.host(host.find(memory[64:128]), (64,), np.uint8), memory[64:128])
    host.close()
    assert not egl.images


def test_without_either_the_reasons_are_told(gpu: fake_cuda.Gpu, fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu.refuses["cuMemHostRegister"] = fake_cuda.real.CUresult.CUDA_ERROR_INVALID_VALUE
    gpu.refuses["cuGraphicsEGLRegisterImage"] = fake_cuda.real.CUresult.CUDA_ERROR_NOT_SUPPORTED
    monkeypatch.setattr(dmabuf, "system_egl", Egl)
    host, memory = HostMemory(this_gpu()), mapped(fd)
    assert not host.share(memory, fd)
    assert host.find(memory) == 0
    assert [reason.split(":")[0] for reason in host.refused] == ["cuMemHostRegister", "cuGraphicsEGLRegisterImage"]
