"""One camera of a rig as the recorder sees it: every frame handed on, and what became of the camera."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Literal

from edgefusion.core import rig
from edgefusion.core.errors import EdgeFusionError, InputError
from edgefusion.core.frames import Form, Frame
from edgefusion.recordings.pairing import Side
from runtime.capture.base import Camera
from runtime.sync.cameras import CameraThread, stop_all

Say = Callable[[str], None]
Take = Callable[[Side, Frame], None]


class CameraReader:
    """Gives every frame of a camera to whom ``begin`` names, and then back to the camera.

    Args:
        side: which camera it is.
        camera: used by a thread of its own.
        settings: of the rig: when it counts as lost, and how long to wait before it is tried again.
        say: told, as one line, that the camera was lost or is back; called by that thread.

    Attributes:
        form: what its frames are, once it is open.
        tried: set when it is open, or cannot be opened.
        begun: set when frames are not to wait for ``begin`` any more.
        thread: which serves the camera.
        state: opening, live, lost, ended (a recording that is over), or failed.
        spoiled, losses: how many pictures were none, how often it was lost.
        error: why it failed: it could not be opened in the beginning.
    """

    def __init__(self, side: Side, camera: Camera, *, settings: rig.Rig, say: Say) -> None:
        self.side, self.camera = side, camera
        self.form: Form | None = None
        self.state: Literal["opening", "live", "lost", "ended", "failed"] = "opening"
        self.spoiled = self.losses = 0
        self.error: Exception | None = None
        self.tried, self.begun = threading.Event(), threading.Event()
        self._say = say
        self._take: Take | None = None
        self.thread = CameraThread(side, camera, receiver=self, settings=settings)

    def start(self) -> None:
        """Open the camera."""
        self.thread.start()

    def begin(self, take: Take) -> None:
        """Give frames to ``take``, which copies what it keeps; the camera waits until then."""
        self._take = take
        self.begun.set()

    def opened(self, side: Side, form: Form) -> None:
        """See ``Receiver``."""
        self.form = form
        if self.state == "lost":
            self._say(f"{side} camera is back")
        self.state = "live"
        self.tried.set()

    def take(self, side: Side, frame: Frame) -> None:
        """See ``Receiver``."""
        self.begun.wait()
        try:
            if self._take:
                self._take(side, frame)
        finally:
            frame.release()

    def damaged(self, side: Side, error: InputError) -> None:
        """See ``Receiver``: counted, and shown at the end."""
        self.spoiled += 1

    def gone(self, side: Side, error: EdgeFusionError) -> None:
        """See ``Receiver``. One that was never there is a mistake; one that was is waited for."""
        if self.form is None:
            self.failed(side, error)
            return
        if self.state != "lost":
            self.losses += 1
            self._say(f"{side} camera lost ({error.what}), trying again")
        self.state = "lost"
        self.tried.set()

    def ended(self, side: Side) -> None:
        """See ``Receiver``."""
        self.state = "ended"
        self.tried.set()

    def failed(self, side: Side, error: Exception) -> None:
        """See ``Receiver``."""
        self.error, self.state = error, "failed"
        self.tried.set()


def stop_readers(readers: Sequence[CameraReader]) -> None:
    """Take no more, and close the cameras. One that is stuck in its driver is left behind."""
    for reader in readers:
        reader.begun.set()  # or a frame that waits for ``begin`` would keep its thread
    stop_all([reader.thread for reader in readers])
