"""A thread for each camera: opens it, reads it, opens it again when it is lost. None waits for the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Literal, Protocol

from edgefusion.core.errors import EdgeFusionError, InputError
from edgefusion.core.frames import Form, Frame
from edgefusion.core.rig import Rig
from edgefusion.recordings.pairing import Side
from runtime.capture.base import Camera, CameraLostError, StreamEndError
from runtime.capture.readings import ByteOrderError, check_byte_order

State = Literal["starting", "live", "frozen", "lost", "reconnecting", "ended"]
"""What a camera does: not begun yet; frames come; the same picture comes (the shutter is closed); none came for
``lost_after_s``; closed, and being opened again; the recording is over."""

READ_S = 0.1
"""A read that brings nothing ends after so long, to see whether the rig is being closed."""

FIRST_RETRY_S = 0.1
MOST_DAMAGED = 3
"""After so many damaged frames in a row the camera is opened anew: it may have changed its format."""

SILENT_FOR = 3
"""A camera that is silent for so many times ``lost_after_s`` is opened anew."""

JOIN_S = 1.0
"""Leaving waits for the cameras' threads so long. One that is stuck in its driver is left behind."""


class Receiver(Protocol):
    """Whom a camera's thread tells what happens. Every method returns at once."""

    def opened(self, side: Side, form: Form) -> None:
        """It is open; frames will come in this format and size."""

    def take(self, side: Side, frame: Frame) -> None:
        """A frame came; the receiver releases it."""

    def damaged(self, side: Side, error: InputError) -> None:
        """Something came that is no frame."""

    def gone(self, side: Side, error: EdgeFusionError) -> None:
        """It is closed and will be opened again."""

    def ended(self, side: Side) -> None:
        """It was a recording, and that is over."""

    def failed(self, side: Side, error: Exception) -> None:
        """It cannot be used: its first opening was refused, or its class has a fault."""


class CameraThread(threading.Thread):
    """Serves one camera until ``stop``; closes it, whatever happens.

    The camera is used by this thread only. One that is stuck in a call that never returns keeps this thread, which is
    a daemon, and nothing else: should it ever return, its frame is given back and it is closed.

    Args:
        side: which camera.
        camera: not yet open.
        receiver: whom to tell.
        settings: of the rig: when a camera is lost, how long to wait between attempts at most, the bits of a reading.
    """

    def __init__(self, side: Side, camera: Camera, *, receiver: Receiver, settings: Rig) -> None:
        super().__init__(name=f"{side} camera", daemon=True)
        self._side, self._camera, self._receiver = side, camera, receiver
        policy = settings.policy
        self._silent_s = SILENT_FOR * policy.lost_after_s
        self._healthy_s, self._longest_s = policy.lost_after_s, policy.reconnect_s
        self._retry_s = FIRST_RETRY_S / 2
        self._first, self._bits, self._checked = True, settings.thermal.bits, False
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._stop_asked.set()

    def run(self) -> None:
        """What the thread does."""
        try:
            while not self._stop_asked.is_set() and self._serve():
                self._stop_asked.wait(self._retry_s)
        except Exception as error:
            self._receiver.failed(self._side, error)
        finally:
            self._camera.close()

    def _serve(self) -> bool:
        """Open it and hand over frames until it fails or ends; whether to open it again."""
        began_s = time.monotonic()
        try:
            self._open()
            self._read()
        except StreamEndError:
            self._receiver.ended(self._side)
            return False
        except ByteOrderError:
            raise
        except EdgeFusionError as error:
            if self._first and not isinstance(error, CameraLostError):
                raise
            self._lose(error, time.monotonic() - began_s)
        finally:
            self._first = False
        return True

    def _open(self) -> None:
        form = self._camera.open()
        self._first = False
        self._receiver.opened(self._side, form)

    def _read(self) -> None:
        damaged, heard_s = 0, time.monotonic()
        while not self._stop_asked.is_set():
            try:
                frame = self._camera.read(READ_S)
            except InputError as error:
                self._receiver.damaged(self._side, error)
                damaged += 1
                if damaged >= MOST_DAMAGED:
                    raise
                continue
            if frame is not None:
                self._check(frame)
                self._receiver.take(self._side, frame)
                damaged, heard_s = 0, time.monotonic()
            elif time.monotonic() > heard_s + self._silent_s:
                raise CameraLostError(f"no frame for {self._silent_s:g} s", where=self._side)

    def _check(self, frame: Frame) -> None:
        """Look at the first frame: one of the wrong byte order would be noise, and a recording of it as well."""
        if self._checked:
            return
        self._checked = True
        try:
            check_byte_order(frame, bits=self._bits)
        except ByteOrderError:
            frame.release()
            raise

    def _lose(self, error: EdgeFusionError, after_s: float) -> None:
        """Close it. The wait before the next attempt doubles, unless this one lasted for a while."""
        self._receiver.gone(self._side, error)
        self._camera.close()
        retry_s = FIRST_RETRY_S if after_s > self._healthy_s else 2 * self._retry_s
        self._retry_s = min(retry_s, self._longest_s)


def stop_all(threads: Sequence[CameraThread]) -> None:
    """End them and close their cameras. Returns within ``JOIN_S``, even if a camera is stuck."""
    for thread in threads:
        thread.stop()
    until_s = time.monotonic() + JOIN_S
    for thread in threads:
        if thread.is_alive():
            thread.join(max(until_s - time.monotonic(), 0))
