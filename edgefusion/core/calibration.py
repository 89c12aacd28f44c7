"""The calibration set: frames chosen from recordings, as the student's input, with why each was chosen.

A folder with ``calibration.json`` and one ``.npy`` file per frame: ``x`` [32, H/4, W/4] float16, what an engine reads.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefusion.core.bundle import AgcInfo, Bundle
from edgefusion.core.errors import InputError, MachineError
from edgefusion.core.files import replace_folder
from edgefusion.core.frames import Light
from edgefusion.core.geometry import Size
from edgefusion.core.mistakes import first_mistake

LIST = "calibration.json"
SCHEMA: Final = 1

Tensor = npt.NDArray[np.float32]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChosenFrame(_Part):
    """One frame pair of the set.

    Attributes:
        file: of its tensor, beside the list.
        sha256: of that file.
        recording: which of the list's sources it is from, from 0.
        sequence: its number in that recording, from 0.
        timestamp_ns: of the visible frame.
        name: what the pair is called in the recording, or empty.
        light: day or night, by the mean luma of the visible frame.
        luma: that mean, 0..1.
        agc_range: (low, high) thermal readings that became 0 and 1.
        reason: why it was chosen, in words.
    """

    file: str
    sha256: str
    recording: int = 0
    sequence: int
    timestamp_ns: int
    name: str
    light: Light
    luma: float
    agc_range: tuple[float, float]
    reason: str


class CalibrationList(_Part):
    """``calibration.json``, schema 1.

    Attributes:
        sources: the recordings, as they were named.
        size_px: (width, height) of the visible frames; the tensors are padded to multiples of four.
        agc: the gain control that made them.
        settings: what the choice was asked for: count, seed and so on.
        seen: what was looked at and left out, by reason, and how many.
        lacks: what the recordings do not cover, in words.
        frames: to calibrate on.
        holdout: of another time, to judge on; in order.
    """

    schema_version: Literal[1] = Field(alias="schema")
    sources: tuple[str, ...]
    size_px: tuple[int, int]
    agc: AgcInfo
    settings: dict[str, Any]
    seen: dict[str, int]
    lacks: tuple[str, ...]
    frames: tuple[ChosenFrame, ...]
    holdout: tuple[ChosenFrame, ...]


@dataclass(frozen=True)
class CalibrationSet:
    """A calibration set on disk, whose list was checked; each tensor is checked against its hash as it is read."""

    path: Path
    list: CalibrationList

    def tensors(self, frames: Sequence[ChosenFrame] | None = None) -> Iterator[Tensor]:
        """``x`` [32, H/4, W/4] of each frame in turn, of ``frames`` of the list by default.

        Raises:
            InputError: a file that is missing or was changed, of another shape, or with values outside 0..1.
        """
        for frame in self.list.frames if frames is None else frames:
            yield self._tensor(frame)

    def list_bytes(self) -> bytes:
        """The list as it lies on disk."""
        return (self.path / LIST).read_bytes()

    def check_for(self, bundle: Bundle) -> None:
        """Raises InputError if the tensors are not what the bundle's student sees."""
        manifest = bundle.manifest
        if self.list.agc != manifest.agc:
            raise InputError(
                "the calibration set was made with another thermal gain control than this student's",
                where=self.path,
                remedy=f"edgefusion calibrate frames --bundle {bundle.place}",
            )
        if _positions(self.list.size_px) != _positions(manifest.layout.size_px):
            sizes = ["x".join(map(str, size)) for size in (self.list.size_px, manifest.layout.size_px)]
            raise InputError(
                f"the calibration set is of {sizes[0]} images and the bundle's models are for {sizes[1]}",
                where=self.path,
                remedy="calibrate with recordings of that size, or export the student for this one",
            )

    def _tensor(self, frame: ChosenFrame) -> Tensor:
        path = self.path / frame.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read it ({error.strerror})", where=path, remedy="copy the set again") from error
        if hashlib.sha256(content).hexdigest() != frame.sha256:
            raise InputError("changed after the set was written", where=path, remedy="copy the set again")
        x = np.load(io.BytesIO(content), allow_pickle=False)
        expected = (32, *_positions(self.list.size_px))
        if x.shape != expected or not (x.min() >= 0 and x.max() <= 1):
            raise InputError(f"not a tensor of {expected} in 0..1", where=path, remedy="calibrate again")
        return np.asarray(x, np.float32)


def _positions(size_px: Size) -> tuple[int, int]:
    """(rows, columns) of the tensor of an image."""
    return -(-size_px[1] // 4), -(-size_px[0] // 4)


def load_calibration(path: Path) -> CalibrationSet:
    """Read and check the list of a calibration set.

    Raises:
        InputError: not a calibration set, or one without frames.
    """
    where = path / LIST
    try:
        found = CalibrationList(**json.loads(where.read_text()))
    except OSError as error:
        raise InputError(
            f"not a calibration set: no {LIST} ({error.strerror})", where=path, remedy="edgefusion calibrate frames"
        ) from error
    except ValidationError as error:
        raise InputError(first_mistake(error), where=where) from error
    except (ValueError, TypeError) as error:
        raise InputError("not the list of a calibration set", where=where, remedy="calibrate again") from error
    if not found.frames:
        raise InputError("the calibration set has no frames", where=where, remedy="calibrate again")
    return CalibrationSet(path, found)


class CalibrationWriter:
    """Writes a calibration set in one stroke: ``path`` is whole or not there, and replaces one of that name.

    Use as a context manager: ``add`` tensors, then ``finish``. Left without ``finish`` it leaves nothing behind.

    Raises:
        InputError: something else lies at that place.
        MachineError: the place is not writable or full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not (path / LIST).is_file():
            raise InputError("exists and is no calibration set", where=path, remedy="choose another --out")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
            self._part = self._scratch / "new"
            self._part.mkdir()
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> CalibrationWriter:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)

    def add(self, x: Tensor, **facts: Any) -> ChosenFrame:
        """Store ``x`` [32, H/4, W/4]; ``facts`` are the fields of ``ChosenFrame`` but for file and sha256."""
        stream = io.BytesIO()
        np.save(stream, x.astype(np.float16))
        content = stream.getvalue()
        name = f"{facts.get('recording', 0)}-{facts['sequence']:08d}.npy"
        try:
            (self._part / name).write_bytes(content)
        except OSError as error:
            raise self._failure(error) from error
        return ChosenFrame(file=name, sha256=hashlib.sha256(content).hexdigest(), **facts)

    def finish(self, contents: CalibrationList, extra: Iterable[tuple[str, bytes]] = ()) -> CalibrationSet:
        """Write the list, and files beside it such as a chart, and give the folder its name."""
        try:
            (self._part / LIST).write_text(contents.model_dump_json(by_alias=True, indent=2) + "\n")
            for name, content in extra:
                (self._part / name).write_bytes(content)
            replace_folder(self._part, self.path, self._scratch / "old")
        except OSError as error:
            raise self._failure(error) from error
        return CalibrationSet(self.path, contents)

    def _failure(self, error: OSError) -> MachineError:
        return MachineError(
            f"cannot write the calibration set ({error.strerror})", where=self.path, remedy="free some space"
        )
