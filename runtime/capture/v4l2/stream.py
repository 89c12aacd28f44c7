"""Buffers on their way between the driver and whoever reads the images."""

from __future__ import annotations

import errno
import math
import select
import threading
import time
from contextlib import suppress
from ctypes import c_int32
from dataclasses import dataclass

from edgefusion.core.errors import EdgeFusionError, InputError
from edgefusion.core.frames import Clock
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.buffers import Agreement, give_up
from runtime.capture.v4l2.node import Node, explaining

KEPT = 2
"""Buffers that always stay with the driver, or it would have nowhere to put the next image."""

_PLUG = "see that it is plugged in and powered"


@dataclass(frozen=True)
class Filled:
    """A buffer with an image.

    Attributes:
        index: of the buffer.
        length: bytes of the image.
        sequence: the driver's number.
        timestamp_ns, clock: when it was exposed.
        exposure_start: whether the timestamp is that of the start of the exposure, not of the end of the transfer.
        damaged: whether the driver says that something is wrong with it.
    """

    index: int
    length: int
    sequence: int
    timestamp_ns: int
    clock: Clock
    exposure_start: bool
    damaged: bool


class Stream:
    """A running stream. ``give_back`` may be called by any thread, also after ``stop``; all else by one.

    Raises:
        MachineError: the driver does not begin to stream.
    """

    def __init__(self, node: Node, agreement: Agreement) -> None:
        self._node, self._kind, self._slots = node, agreement.kind, list(agreement.slots)
        self._lock = threading.Lock()
        self._held = 0
        self._fault: EdgeFusionError | None = None
        self._most = len(self._slots) - KEPT
        with suppress(OSError):  # many cameras have nothing to tell
            node.call(abi.SUBSCRIBE_EVENT, abi.EventSubscription(type=abi.SOURCE_CHANGE))
        try:
            with explaining(node.path, "beginning to stream"):
                node.call(abi.STREAMON, c_int32(abi.CAPTURE))
        except BaseException:
            self.stop()
            raise
        self._poll = select.poll()
        self._poll.register(node.fd, select.POLLIN | select.POLLPRI)

    def wait(self, timeout_s: float) -> bool:
        """Whether an image is there.

        Raises:
            CameraLostError: the camera is gone.
            InputError: its images have another size or timing from now on.
        """
        if self._fault:
            raise self._fault
        ready = self._poll.poll(math.ceil(max(timeout_s, 0) * 1000))
        events = ready[0][1] if ready else 0
        if events & select.POLLPRI and not events & select.POLLHUP:
            self._check_events()
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            self._fail(CameraLostError("it is gone", where=self._node.path, remedy=_PLUG))
        return bool(events & select.POLLIN)

    def take(self) -> Filled | None:
        """The next image; None if there is none yet.

        Raises:
            CameraLostError: the camera is gone.
        """
        buffer = abi.Buffer(type=abi.CAPTURE, memory=self._kind)
        try:
            self._node.call(abi.DQBUF, buffer)
            self._slots[buffer.index].touch(begin=True)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                return None
            self._fail(self._lost(error))
        with self._lock:
            self._held += 1
        return _describe(buffer)

    @property
    def starved(self) -> bool:
        """Whether more is held than may be: the image just taken must be given back at once."""
        return self._held > self._most

    def give_back(self, index: int) -> None:
        """Let the driver fill the buffer again."""
        with self._lock:
            if not self._slots:
                return
            self._held -= 1
            slot = self._slots[index]
            try:
                slot.touch(begin=False)
                self._node.call(abi.QBUF, slot.request)
            except OSError as error:
                self._fault = self._fault or self._lost(error)  # for whoever waits for images

    def stop(self) -> None:
        """End the stream. What is held stays readable, and need not be given back."""
        with self._lock:
            slots, self._slots = self._slots, []
        with suppress(OSError):  # one that is gone has stopped
            self._node.call(abi.STREAMOFF, c_int32(abi.CAPTURE))
        for slot in slots:
            slot.free()
        slots.clear()  # unmaps what is not held
        give_up(self._node, self._kind)

    def _check_events(self) -> None:
        event = abi.Event()
        while self._has_event(event):
            if event.type == abi.SOURCE_CHANGE:
                remedy = "open it again, with the size it has now"
                self._fail(InputError("its images changed while it ran", where=self._node.path, remedy=remedy))

    def _has_event(self, event: abi.Event) -> bool:
        try:
            self._node.call(abi.DQEVENT, event)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EAGAIN):
                return False
            self._fail(self._lost(error))
        return True

    def _lost(self, error: OSError) -> CameraLostError:
        return CameraLostError(f"it is gone ({error.strerror})", where=self._node.path, remedy=_PLUG)

    def _fail(self, fault: EdgeFusionError) -> None:
        self._fault = fault
        raise fault


def _describe(buffer: abi.Buffer) -> Filled:
    flags = buffer.flags
    monotonic = flags & abi.FLAG_TIMESTAMP_MASK == abi.FLAG_MONOTONIC
    stamp_ns = buffer.timestamp.tv_sec * 10**9 + buffer.timestamp.tv_usec * 1000
    return Filled(
        index=buffer.index,
        length=buffer.bytesused,
        sequence=buffer.sequence,
        timestamp_ns=stamp_ns if monotonic else time.monotonic_ns(),
        clock="monotonic" if monotonic else "receive",
        exposure_start=flags & abi.FLAG_SOURCE_MASK == abi.FLAG_START_OF_EXPOSURE,
        damaged=bool(flags & abi.FLAG_ERROR),
    )
