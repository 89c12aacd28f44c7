"""A camera that is read on a thread of its own, and opened again whenever it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError, InputError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import Side
from runtime.capture.base import Camera, CameraLostError, StreamEndError

PATIENCE_S = 0.1
"""So long a camera waits for a frame before it looks whether it is to stop."""

FIRST_WAIT_S = 0.1
"""Before a lost camera is opened again; twice as long each time, up to ``policy.reconnect_s``."""

Say = Callable[[str], None]
Take = Callable[[Side, Frame], None]


class CameraReader:
    """Gives every frame of a camera to whom ``begin`` names, and then back to the camera.

    Args:
        side: which camera it is.
        camera: used by the new thread alone.
        settings: of the camera.
        policy: of the rig: when it counts as lost, and how long to wait before it is tried again.
        say: told, as one line, that the camera was lost or is back; called by the new thread.

    Attributes:
        form: what its frames are, once it is open.
        state: opening, live, lost, ended (a recording that is over), or failed.
        frames, damaged, lost: how many frames came, how many of these were no pictures, how often it was lost.
        error: why it failed: it could not be opened in the beginning.
    """

    def __init__(
        self,
        side: Side,
        camera: Camera,
        *,
        settings: rig.Camera,
        policy: rig.Policy,
        say: Say,
    ) -> None:
        self.side, self.camera = side, camera
        self.form: tuple[PixelFormat, Size] | None = None
        self.state: Literal["opening", "live", "lost", "ended", "failed"] = "opening"
        self.frames = self.damaged = self.lost = 0
        self.error: Exception | None = None
        self.opened = threading.Event()
        self._policy, self._say = policy, say
        self._take: Take | None = None
        self._silence_s = max(policy.lost_after_s, 3 / settings.fps if settings.fps else 0.0)
        self._begin, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{side} camera", daemon=True)

    def start(self) -> None:
        """Open the camera; ``opened`` is set when it is, or when it has failed."""
        self._thread.start()

    def begin(self, take: Take) -> None:
        """Give frames to ``take``, which copies what it keeps."""
        self._take = take
        self._begin.set()

    def stop(self) -> None:
        """Take no more, and close the camera."""
        self._stop.set()
        self._begin.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            self.form = self.camera.open()
            self.opened.set()
            self._begin.wait()
            while not self._stop.is_set():
                self._read_while_there()
                self._open_again()
        except StreamEndError:
            self.state = "ended"
        except Exception as error:  # whoever waits for this thread raises it
            self.error, self.state = error, "failed"
        finally:
            self.camera.close()
            self.opened.set()

    def _read_while_there(self) -> None:
        self.state = "live"
        try:
            self._read()
        except CameraLostError as error:
            self.state = "lost"
            self.lost += 1
            self._say(f"{self.side} camera lost ({error.what}), trying again")

    def _read(self) -> None:
        last_s = time.monotonic()
        while not self._stop.is_set():
            try:
                frame = self.camera.read(PATIENCE_S)
            except InputError:  # a picture that is none: counted, and shown
                self.damaged += 1
                last_s = time.monotonic()
                continue
            if frame is not None:
                last_s = time.monotonic()
                self._hand_over(frame)
            elif time.monotonic() - last_s > self._silence_s:
                raise CameraLostError(f"no frame for {self._silence_s:g} s")

    def _hand_over(self, frame: Frame) -> None:
        self.frames += 1
        try:
            if self._take:
                self._take(self.side, frame)
        finally:
            frame.release()

    def _open_again(self) -> None:
        wait_s = min(FIRST_WAIT_S, self._policy.reconnect_s)
        while not self._stop.is_set():
            self.camera.close()
            if self._stop.wait(wait_s):
                return
            wait_s = min(2 * wait_s, self._policy.reconnect_s)
            try:
                self.form = self.camera.open()
            except EdgeFusionError:  # not there yet, or not permitted yet
                continue
            self._say(f"{self.side} camera is back")
            return
