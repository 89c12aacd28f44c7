"""A camera that is a V4L2 device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from edgefusion.core import rig
from edgefusion.core.errors import MachineError, RigError
from edgefusion.core.frames import Frame, PixelFormat
from edgefusion.core.geometry import Size
from edgefusion.recordings.pairing import Side
from runtime.capture.base import CameraLostError
from runtime.capture.v4l2 import abi, buffers
from runtime.capture.v4l2.controls import set_controls
from runtime.capture.v4l2.formats import Form, choose, code_name
from runtime.capture.v4l2.images import Copied, Lent
from runtime.capture.v4l2.node import Node, explaining, present
from runtime.capture.v4l2.stream import Filled, Stream

SEQUENCES = 1 << 32
"""The driver's numbers begin again there."""


class V4l2Camera:
    """A camera under /dev/video*. It keeps the ``Camera`` protocol of ``runtime.capture.base``.

    Args:
        address: the device node.
        settings: of the rig.
        side: which camera it is, for errors.
        allocate: where userptr buffers come from: page-aligned memory, such as pinned one.
        import_from: where dmabuf buffers come from: descriptors, closed after use.

    Attributes:
        facts: also ``refused`` (why other kinds of memory are not used), ``timestamps`` (what they say), ``buffers``,
            and counts: ``drops`` (images that the driver's numbers leave out), ``damaged``, ``starved`` (images given
            up because too many frames were held).
    """

    def __init__(
        self,
        address: str,
        settings: rig.Camera,
        side: Side,
        *,
        allocate: buffers.Allocate = buffers.pages,
        import_from: buffers.ImportFrom = buffers.system_dmabuf,
    ) -> None:
        self._path, self._settings, self._side = address, settings, side
        self._sources = buffers.Sources(allocate, import_from)
        self._running: _Running | None = None
        self.facts: dict[str, Any] = {"kind": "v4l2"}

    def open(self) -> tuple[PixelFormat, Size]:
        """Begin to capture; see ``Camera.open``."""
        self.close()
        node = Node(self._path)
        try:
            check_captures(node)
            self._running = self._start(node)
        except BaseException:
            node.close()
            raise
        return self._running.form.format, self._running.form.size_px

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame; see ``Camera.read``."""
        if self._running is None:
            raise CameraLostError("it is not open", where=self._path)
        deadline = time.monotonic() + timeout_s
        while self._running.stream.wait(deadline - time.monotonic()):
            frame = self._running.take()
            if frame is not None:
                return frame
        return None

    def close(self) -> None:
        """Stop, and give everything back; see ``Camera.close``."""
        running, self._running = self._running, None
        if running:
            running.stream.stop()
            running.node.close()

    def export(self) -> list[int]:
        """Descriptors of DMABUFs of the driver's buffers, which the caller closes.

        Raises:
            MachineError: the buffers are not the driver's, or it does not export them.
            CameraLostError: it is not open.
        """
        if self._running is None:
            raise CameraLostError("it is not open", where=self._path)
        if self._running.kind is not abi.Memory.MMAP:
            raise MachineError("its buffers are not the driver's own", where=self._path, remedy='set memory = "mmap"')
        with explaining(self._path, "exporting its buffers"):
            return buffers.export(self._running.node, self._running.count)

    def _start(self, node: Node) -> _Running:
        form = choose(node, self._settings, self._side)
        set_controls(node, self._settings.controls, self._side)
        why = _why_copied(form)
        wanted = "copy" if why else self._settings.memory
        sources, count = self._sources, self._settings.buffers
        agreement = buffers.agree(node, wanted, length=form.length, count=count, sources=sources)
        running = _Running(node, form, agreement, copied=wanted == "copy")
        running.facts |= _facts(running, agreement.refused, why)
        self.facts = running.facts
        return running


def check_captures(node: Node) -> None:
    """Raises RigError: it is a device of another kind."""
    if node.capabilities & abi.VIDEO_CAPTURE_MPLANE:
        remedy = "use gstreamer:v4l2src ! ..."
        raise RigError("its images are in several planes, which is not supported", where=node.path, remedy=remedy)
    if not node.capabilities & abi.VIDEO_CAPTURE:
        raise RigError("it does not capture video", where=node.path, remedy=present())
    if not node.capabilities & abi.STREAMING:
        raise RigError("it does not stream", where=node.path, remedy="use gstreamer:v4l2src io-mode=rw ! ...")


class _Running:
    """What there is while a camera is open. Frames that outlive it do not refer to it."""

    def __init__(self, node: Node, form: Form, agreement: buffers.Agreement, *, copied: bool) -> None:
        self.node, self.form = node, form
        self.kind, self.count = agreement.kind, len(agreement.slots)
        self.stream = Stream(node, agreement)
        try:
            self.pixels = (Copied if copied else Lent)(self.stream, agreement.slots, form)
        except BaseException:
            self.stream.stop()
            raise
        self.facts: dict[str, Any] = {"timestamps": None, "drops": 0, "damaged": 0, "starved": 0}
        self._last: int | None = None

    def take(self) -> Frame | None:
        """The next frame; None if there is none, or it had to be given up."""
        filled = self.stream.take()
        if filled is None:
            return None
        self._note(filled)
        if filled.damaged or filled.length < self.form.needed:
            self.facts["damaged"] += 1
            self.stream.give_back(filled.index)
            return None
        taken = self.pixels(filled, self.facts)
        if taken is None:
            return None
        pixels, give_back = taken
        return Frame(pixels, self.form.format, filled.timestamp_ns, filled.clock, filled.sequence, _Once(give_back))

    def _note(self, filled: Filled) -> None:
        """Count the images that the driver's numbers leave out."""
        if self._last is None:
            self.facts["timestamps"] = _describe_timestamps(filled)
        else:
            gap = (filled.sequence - self._last - 1) % SEQUENCES
            self.facts["drops"] += gap if gap < SEQUENCES // 2 else 0  # else the numbers went back
        self._last = filled.sequence


class _Once:
    """Gives a frame back, the first time it is called."""

    __slots__ = ("_give_back",)

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def __call__(self) -> None:
        give_back, self._give_back = self._give_back, None
        if give_back:
            give_back()


def _why_copied(form: Form) -> str:
    """Why the driver's buffers cannot be frames, or nothing."""
    if form.compressed:
        return f"{code_name(form.code)} is decoded"
    return f"its rows of {form.row} bytes are padded to {form.stride}" if form.padded else ""


def _facts(running: _Running, refused: dict[str, str], why: str) -> dict[str, Any]:
    about, copies = running.node.about, running.pixels.copies
    return {
        "kind": "v4l2",
        "device": running.node.path,
        "driver": about.driver.decode("latin-1"),
        "card": about.card.decode("latin-1"),
        "bus": about.bus_info.decode("latin-1"),
        "format": code_name(running.form.code),
        "fps": running.form.fps,
        "memory": "copy" if copies else _name(running.kind),
        "refused": dict.fromkeys(map(_name, buffers.ORDER), why) if why else refused,
        "copies": copies,
        "buffers": running.count,
    }


def _name(kind: abi.Memory) -> str:
    return kind.name.lower()


def _describe_timestamps(filled: Filled) -> str:
    if filled.clock == "receive":
        return "when received"
    return f"{filled.clock}, {'start of exposure' if filled.exposure_start else 'end of frame'}"
