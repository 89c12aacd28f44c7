"""The memory that a driver writes images into, and the three ways to agree on it: userptr, dmabuf, mmap."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import MachineError
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.abi import Memory
from runtime.capture.v4l2.node import Node, explain, ioctl

Bytes = npt.NDArray[np.uint8]
Allocate = Callable[[int], Bytes]
"""Gives a page-aligned array of at least so many bytes."""
ImportFrom = Callable[[int], int]
"""Gives the descriptor of a DMABUF of at least so many bytes, which is closed after use."""

ORDER = (Memory.USERPTR, Memory.DMABUF, Memory.MMAP)
"""Of the attempts: memory that another device can share comes first."""
FEWEST = 3
"""Buffers: one more than the two that always stay with the driver."""
HEAPS = ("/dev/dma_heap/system",)
UDMABUF = "/dev/udmabuf"


class _RefusedError(Exception):
    """The driver or the machine does not have this kind of memory; says why."""


@dataclass(frozen=True)
class Slot:
    """One buffer.

    Attributes:
        memory: all its bytes.
        request: what hands it to the driver.
        dmabuf: its descriptor where it is a DMABUF of others, else -1.
    """

    memory: Bytes
    request: abi.Buffer
    dmabuf: int = -1

    def touch(self, *, begin: bool) -> None:
        """Tell the owner of the memory that the CPU begins, or ends, to read it. Raises OSError."""
        if self.dmabuf >= 0:
            flags = abi.SYNC_START_READ if begin else abi.SYNC_END_READ
            ioctl(self.dmabuf, abi.DMA_BUF_SYNC, abi.DmabufSync(flags))

    def free(self) -> None:
        """Close what belongs to it; the memory goes when nobody has an array of it any more."""
        if self.dmabuf >= 0:
            os.close(self.dmabuf)


@dataclass(frozen=True)
class Sources:
    """Where memory comes from that is not the driver's."""

    allocate: Allocate
    import_from: ImportFrom


def pages(length: int) -> Bytes:
    """Page-aligned memory of our own."""
    return np.frombuffer(mmap.mmap(-1, _whole_pages(length)), np.uint8)


def system_dmabuf(length: int) -> int:
    """A DMABUF from the system's DMA heap, or of a memfd.

    Raises:
        OSError: the machine has neither, or no memory.
    """
    for heap in HEAPS:
        with suppress(FileNotFoundError):
            return _from_heap(heap, _whole_pages(length))
    return _from_memfd(_whole_pages(length))


@dataclass(frozen=True)
class Agreement:
    """What a driver and we agreed on.

    Attributes:
        kind: of memory.
        slots: the buffers.
        refused: why other kinds were not to be had, by their names.
    """

    kind: Memory
    slots: list[Slot]
    refused: dict[str, str]


def agree(node: Node, wanted: str, *, length: int, count: int, sources: Sources) -> Agreement:
    """Get buffers, all of them handed to the driver.

    Args:
        node: the device; its format is set.
        wanted: as in rig.toml: auto tries each in ``ORDER``, copy is mmap.
        length: bytes of an image.
        count: buffers to ask for.
        sources: of memory that is not the driver's.

    Raises:
        MachineError: none can be had; it is busy.
    """
    refused: dict[str, str] = {}
    for kind in _attempts(wanted):
        try:
            slots = _attempt(node, kind, length=length, count=count, sources=sources)
            return Agreement(kind, slots, refused)
        except _RefusedError as error:
            refused[kind.name.lower()] = str(error)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    remedy = 'memory = "auto" tries all kinds' if wanted != "auto" else "see what the kernel says: dmesg"
    raise MachineError(f"no memory for its images ({reasons})", where=node.path, remedy=remedy)


def _attempts(wanted: str) -> tuple[Memory, ...]:
    if wanted == "auto":
        return ORDER
    return (Memory.MMAP if wanted == "copy" else Memory[wanted.upper()],)


def _attempt(node: Node, kind: Memory, *, length: int, count: int, sources: Sources) -> list[Slot]:
    given = _request(node, kind, count)
    slots: list[Slot] = []
    try:
        if given < FEWEST:
            raise _RefusedError(f"the driver gives {given} buffers, {FEWEST} are needed")
        for index in range(given):
            slots.append(_slot(node, kind, index, length, sources))
            node.call(abi.QBUF, slots[-1].request)
    except BaseException as error:
        for slot in slots:
            slot.free()
        give_up(node, kind)
        if isinstance(error, OSError):
            raise _refusal(error, node) from error
        raise
    return slots


def _request(node: Node, kind: Memory, count: int) -> int:
    request = abi.RequestBuffers(count=count, type=abi.CAPTURE, memory=kind)
    try:
        node.call(abi.REQBUFS, request)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise explain(error, node.path, "asking for buffers") from error
        raise _refusal(error, node) from error
    return int(request.count)


def _refusal(error: OSError, node: Node) -> Exception:
    if error.errno == errno.ENODEV:
        return explain(error, node.path, "asking for buffers")
    place = f"{error.filename}: " if error.filename else ""
    said = "the driver does not take it" if error.errno == errno.EINVAL else error.strerror
    return _RefusedError(f"{place}{said}")


def give_up(node: Node, kind: Memory) -> None:
    """Take all buffers from the driver. Images that are still mapped stay readable."""
    with suppress(OSError):  # one that is gone has none; one before Linux 5.0 frees mapped ones when they are unmapped
        node.call(abi.REQBUFS, abi.RequestBuffers(count=0, type=abi.CAPTURE, memory=kind))


def _slot(node: Node, kind: Memory, index: int, length: int, sources: Sources) -> Slot:
    request = abi.Buffer(index=index, type=abi.CAPTURE, memory=kind)
    if kind is Memory.MMAP:
        node.call(abi.QUERYBUF, request)
        return Slot(map_memory(node.fd, request.length, request.m.offset), request)
    if kind is Memory.USERPTR:
        memory = sources.allocate(length)
        request.m.userptr, request.length = memory.ctypes.data, memory.nbytes
        return Slot(memory, request)
    return _imported(request, sources.import_from(length))


def _imported(request: abi.Buffer, fd: int) -> Slot:
    try:
        request.m.fd, request.length = fd, os.lseek(fd, 0, os.SEEK_END)
        return Slot(map_memory(fd, request.length), request, dmabuf=fd)
    except OSError:
        os.close(fd)
        raise


def map_memory(fd: int, length: int, offset: int = 0) -> Bytes:
    """Unmapped when the last array of it is gone."""
    return np.frombuffer(mmap.mmap(fd, length, mmap.MAP_SHARED, offset=offset), np.uint8)


def export(node: Node, count: int) -> list[int]:
    """Descriptors of DMABUFs of mmap buffers. Raises OSError."""
    exported: list[int] = []
    try:
        for index in range(count):
            request = abi.ExportBuffer(type=abi.CAPTURE, index=index, flags=os.O_CLOEXEC | os.O_RDWR)
            node.call(abi.EXPBUF, request)
            exported.append(request.fd)
    except OSError:
        for fd in exported:
            os.close(fd)
        raise
    return exported


def _from_heap(path: str, length: int) -> int:
    heap = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        request = abi.DmaHeapAllocation(len=length, fd_flags=os.O_RDWR | os.O_CLOEXEC)
        ioctl(heap, abi.DMA_HEAP_ALLOC, request)
        return int(request.fd)
    finally:
        os.close(heap)


def _from_memfd(length: int) -> int:
    maker = os.open(UDMABUF, os.O_RDWR | os.O_CLOEXEC)
    memory = os.memfd_create("edgefusion", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(memory, length)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)  # it must not shrink under the driver
        request = abi.UdmabufCreate(memfd=memory, flags=abi.CLOSE_ON_EXEC, size=length)
        return ioctl(maker, abi.UDMABUF_CREATE, request)
    finally:
        os.close(memory)
        os.close(maker)


def _whole_pages(length: int) -> int:
    return -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
