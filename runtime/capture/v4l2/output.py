"""The buffers of an output device: filled here, shown by the driver."""

from __future__ import annotations

import select
from collections import deque
from contextlib import suppress
from ctypes import c_int32

from edgefusion.core.errors import MachineError, RunError
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.buffers import Bytes, map_memory
from runtime.capture.v4l2.node import Node, explaining

COUNT = 3
PATIENCE_S = 5.0
"""A device that gives no buffer back for so long is stuck."""


class OutputQueue:
    """Buffers of a device whose format is set.

    Raises:
        MachineError: it is busy, or has no buffers.
    """

    def __init__(self, node: Node) -> None:
        self._node, self._streaming = node, False
        request = abi.RequestBuffers(count=COUNT, type=abi.OUTPUT, memory=abi.Memory.MMAP)
        with explaining(node.path, "asking for buffers"):
            node.call(abi.REQBUFS, request)
            self._memory = [self._map(index) for index in range(request.count)]
        if not self._memory:
            raise MachineError("it has no buffers", where=node.path)
        self._free = deque(range(len(self._memory)))

    def take(self) -> tuple[int, Bytes]:
        """A buffer to fill, and its number.

        Raises:
            RunError: the device gives none back.
        """
        index = self._free.popleft() if self._free else self._wait()
        return index, self._memory[index]

    def show(self, index: int, length: int, *, timestamp_ns: int = 0) -> None:
        """Hand over a buffer with ``length`` bytes of an image; 0 for a time that is not known."""
        buffer = abi.Buffer(index=index, type=abi.OUTPUT, memory=abi.Memory.MMAP, bytesused=length)
        buffer.field = abi.FIELD_NONE
        buffer.timestamp.tv_sec, nanoseconds = divmod(timestamp_ns, 10**9)
        buffer.timestamp.tv_usec = nanoseconds // 1000
        with explaining(self._node.path, "showing a frame"):
            self._node.call(abi.QBUF, buffer)
            if not self._streaming:
                self._node.call(abi.STREAMON, c_int32(abi.OUTPUT))
                self._streaming = True

    def close(self) -> None:
        """Stop, and give the buffers back."""
        self._memory.clear()
        with suppress(OSError):  # one that is gone has stopped
            self._node.call(abi.STREAMOFF, c_int32(abi.OUTPUT))
            self._node.call(abi.REQBUFS, abi.RequestBuffers(count=0, type=abi.OUTPUT, memory=abi.Memory.MMAP))

    def _map(self, index: int) -> Bytes:
        buffer = abi.Buffer(index=index, type=abi.OUTPUT, memory=abi.Memory.MMAP)
        self._node.call(abi.QUERYBUF, buffer)
        return map_memory(self._node.fd, buffer.length, buffer.m.offset)

    def _wait(self) -> int:
        poll = select.poll()
        poll.register(self._node.fd, select.POLLOUT)
        if not poll.poll(PATIENCE_S * 1000):
            raise RunError("it takes no more frames", where=self._node.path, remedy="is its reader stuck?")
        buffer = abi.Buffer(type=abi.OUTPUT, memory=abi.Memory.MMAP)
        with explaining(self._node.path, "waiting for a buffer"):
            self._node.call(abi.DQBUF, buffer)
        return int(buffer.index)
