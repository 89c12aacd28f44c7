"""Recording a rig: both cameras, a tape, and what came of it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgefusion.core.errors import RunError, UsageError
from edgefusion.core.files import check_folder
from edgefusion.core.rig import Rig, load_rig
from edgefusion.recordings.mcap_writer import McapWriter
from edgefusion.recordings.pairing import SIDES, Side
from runtime.capture.base import open_camera, without_passwords
from runtime.recorder.cameras import CameraReader, Say, stop_readers
from runtime.recorder.tape import Tape
from runtime.stopping import stop_on_signals

TURN_S = 0.1


@dataclass(frozen=True)
class RecordSettings:
    """What the options of ``edgefusion record`` say; see its help."""

    rig_path: Path
    out: Path
    duration_s: float | None = None
    force: bool = False


@dataclass(frozen=True)
class CameraCount:
    """What came of one camera.

    Attributes:
        form: such as "YUYV 640x480".
        state: live, lost, ended or failed.
        frames: that are in the file.
        fps: of these, over the whole recording.
        dropped: that came while too many waited for the disk.
        damaged: that were no pictures.
        lost: how often the camera was lost.
    """

    form: str
    state: str
    frames: int
    fps: float
    dropped: int
    damaged: int
    lost: int


@dataclass(frozen=True)
class Recorded:
    """A recording, so far or as it ended."""

    path: Path
    seconds: float
    size_bytes: int
    cameras: dict[Side, CameraCount]
    interrupted: bool = False


Show = Callable[[Recorded], None]


def record(settings: RecordSettings, *, show: Show, say: Say) -> Recorded:
    """Record until the time is over, a signal comes, the disk is full, or both cameras are recordings and at their end.

    Args:
        settings: what to record.
        show: called now and then.
        say: told, as one line, what happens to a camera.

    Raises:
        EdgeFusionError: no such rig, a camera that cannot be opened, a disk that is full, not one frame. What was
            written stays.
    """
    rig = load_rig(settings.rig_path)
    _check_out(settings)
    with stop_on_signals() as stop, _opened(rig, stop, say) as readers:
        session = _Session(settings.out, readers, Tape(_begun(settings, rig, readers)))
        try:
            while not stop.is_set() and not session.over(settings.duration_s):
                stop.wait(TURN_S)
                show(session.result())
        finally:
            session.end()
    return session.checked(replace(session.result(), interrupted=stop.is_set()))


def _check_out(settings: RecordSettings) -> None:
    out = settings.out
    if out.suffix.lower() != ".mcap":
        raise UsageError("a recording is an MCAP file", where=out, remedy="end its name in .mcap")
    check_folder(out)
    if out.exists() and not settings.force:
        raise UsageError("there is such a file already", where=out, remedy="choose another name, or pass --force")


@contextmanager
def _opened(rig: Rig, stop: threading.Event, say: Say) -> Iterator[list[CameraReader]]:
    """Both cameras, open; closed in the end."""
    cameras = {"visible": rig.visible, "thermal": rig.thermal}
    readers = [CameraReader(side, open_camera(side, cameras[side]), settings=rig, say=say) for side in SIDES]
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            while not reader.tried.wait(TURN_S):
                if stop.is_set():
                    raise RunError("interrupted before the cameras were open")
            if reader.error:
                raise reader.error
        yield readers
    finally:
        stop_readers(readers)


def _begun(settings: RecordSettings, rig: Rig, readers: list[CameraReader]) -> McapWriter:
    """The file, with the facts of its rig: they are in it even if it never gets its end."""
    writer = McapWriter(settings.out, replace=settings.force)
    facts: dict[str, str] = {reader.side: json.dumps(_facts(reader), default=str) for reader in readers}
    writer.metadata("rig", {"name": rig.name, "edgefusion": version("edgefusion"), **facts})
    text = settings.rig_path.read_bytes().decode()
    writer.attach("rig.toml", "application/toml", without_passwords(text).encode())
    return writer


def _facts(reader: CameraReader) -> dict[str, Any]:
    return {"form": _form(reader), **reader.camera.facts}


def _form(reader: CameraReader) -> str:
    if reader.form is None:
        return "unknown"
    kind, (width, height) = reader.form
    return f"{kind.value} {width}x{height}"


class _Session:
    """A recording that is being made."""

    def __init__(self, path: Path, readers: list[CameraReader], tape: Tape) -> None:
        self._path, self._readers, self._tape = path, readers, tape
        self._start_s = time.monotonic()
        self._end_s: float | None = None
        for reader in readers:
            reader.begin(tape.add)

    def over(self, duration_s: float | None) -> bool:
        """Whether there is nothing more to record, no more room for it, or a camera that cannot be used."""
        late = duration_s is not None and time.monotonic() - self._start_s >= duration_s
        done = all(reader.state == "ended" for reader in self._readers)
        return late or done or self._tape.error is not None or any(reader.error for reader in self._readers)

    def end(self) -> None:
        """Stop the cameras and finish the file."""
        stop_readers(self._readers)
        self._end_s = time.monotonic()
        self._tape.close(lambda: {side: json.dumps(vars(count)) for side, count in self.result().cameras.items()})

    def result(self) -> Recorded:
        """What there is so far."""
        seconds = round((self._end_s or time.monotonic()) - self._start_s, 3)
        cameras = {reader.side: self._count(reader, seconds) for reader in self._readers}
        return Recorded(self._path, seconds, self._tape.size_bytes, cameras)

    def checked(self, result: Recorded) -> Recorded:
        """The result, or what went wrong.

        Raises:
            EdgeFusionError: the disk was full, a camera could not be read, or there is not one frame.
        """
        for error in (self._tape.error, *(reader.error for reader in self._readers)):
            if error:
                raise error
        if not any(count.frames for count in result.cameras.values()):
            raise RunError("not one frame came", where=self._path, remedy="look at the cameras with their own tools")
        return result

    def _count(self, reader: CameraReader, seconds: float) -> CameraCount:
        written = self._tape.written[reader.side]
        return CameraCount(
            _form(reader), reader.state, written, round(written / seconds, 2) if seconds else 0.0,
            self._tape.dropped[reader.side], reader.spoiled, reader.losses,
        )  # fmt: skip
