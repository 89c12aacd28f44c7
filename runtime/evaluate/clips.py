"""Clips: frame pairs in a row, of a recording or of the simulated rig, as every entry sees them.

Thermal is registered to visible and brought to 8 bits once, by the vehicle's own ``Pack`` and the gain control with its
memory of the frames before. Its ranges are found first, in one pass, so that any process can start at any frame.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from edgefusion.core.errors import InputError, RecordingError
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Registration, Size
from edgefusion.core.rig import Rig, registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.recordings.recording import is_mcap, open_recording
from runtime.capture.simulated import THERMAL_BITS, SimulatedRig
from runtime.evaluate.store import code_version
from runtime.evaluate.views import RegisteredThermal, SteadyGain

SIMULATED_FRAMES = 300
FEWEST_FRAMES = 2

Advance = Callable[[int], None]
Fetch = Callable[[int], FramePair]
"""Number of a frame -> the pair as its cameras delivered it."""

Item = TypeVar("Item")


class Cursor(Generic[Item]):
    """Items of a stream by number. Going on is cheap; going back opens the stream again.

    Args:
        start: opens the stream.
        what: names it where it ends too early.
    """

    def __init__(self, start: Callable[[], Iterator[Item]], what: Path) -> None:
        self._start, self._what = start, what
        self._items: Iterator[Item] = iter(())
        self._held: tuple[int, Item] | None = None

    def __call__(self, number: int) -> Item:
        """Item ``number``, from 0.

        Raises:
            RecordingError: the stream ends before it.
        """
        if self._held is None or number < self._held[0]:
            self._items, self._held = self._start(), None
        position = -1 if self._held is None else self._held[0]
        for item in islice(self._items, number - position):
            position += 1
            self._held = position, item
        if self._held is None or self._held[0] != number:
            raise RecordingError(f"it ends before frame {number}", where=self._what, remedy="copy it again")
        return self._held[1]


class Footage(Protocol):
    """Where the frames of a clip come from; it travels to other processes.

    Attributes:
        name: what to call it.
        visible, thermal: where each camera's frames lie, in words if in no file.
        fps: frames a second.
        bits: significant bits of a Y16 thermal reading.
        length: number of frames as stated, 0 if unknown or without end.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def visible(self) -> Path: ...  # noqa: D102
    @property
    def thermal(self) -> Path: ...  # noqa: D102
    @property
    def fps(self) -> float: ...  # noqa: D102
    @property
    def bits(self) -> int: ...  # noqa: D102
    @property
    def length(self) -> int: ...  # noqa: D102

    def digest(self) -> str:
        """Changes with whatever could change a frame."""

    def registration(self, visible: Size, thermal: Size) -> Registration:
        """For frames of these sizes."""

    def read(self) -> Iterator[FramePair]:
        """Every pair from the first."""

    def open(self) -> Fetch:
        """Any pair by its number."""


@dataclass(frozen=True)
class Recorded:
    """Two videos, or an MCAP file.

    Args:
        visible, thermal: the files, or twice the one.
        fps: frames a second.
        length: number of frames as the files state, 0 if they do not.
        intersect: take the frames that both have.
        topics: of an MCAP file.
        rig: the two cameras' registration, where they do not show the same view already, and what pairs their frames.
    """

    visible: Path
    thermal: Path
    fps: float
    length: int = 0
    intersect: bool = False
    topics: tuple[str, str] | None = None
    rig: Rig | None = None

    @property
    def name(self) -> str:
        """The files."""
        return " and ".join(str(path) for path in self._files)

    @property
    def _files(self) -> list[Path]:
        return list(dict.fromkeys((self.visible, self.thermal)))

    @property
    def bits(self) -> int:
        """As the rig says."""
        return self.rig.thermal.bits if self.rig else 16

    def digest(self) -> str:
        """Of the files' content, and of what is read of it."""
        rig = self.rig
        times = (rig.tolerance_ms, rig.visible.time_offset_ns, rig.thermal.time_offset_ns) if rig else ()
        return " ".join([*(file_digest(path) for path in self._files), *(self.topics or ()), *map(str, times)])

    def registration(self, visible: Size, thermal: Size) -> Registration:
        """The rig's, or that of two images of one view."""
        return (self.rig.registration_for if self.rig else registered)(visible, thermal)

    def read(self) -> Iterator[FramePair]:
        """Both cameras in step."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user was told when the recording was chosen
            found = open_recording(
                self.visible, self.thermal, intersect=self.intersect, topics=self.topics, rig=self.rig
            )
            return iter(found)

    def open(self) -> Fetch:
        """By decoding on, or from the start."""
        return Cursor(self.read, self.visible)


@dataclass(frozen=True)
class Driven:
    """The simulated rig's drive."""

    rig: SimulatedRig
    bits = THERMAL_BITS
    length = 0

    @property
    def name(self) -> str:
        """Seed and fog."""
        return f"simulated rig, seed {self.rig.seed}, fog {self.rig.fog:g}"

    @property
    def visible(self) -> Path:
        """No file."""
        return Path(f"{self.name}, visible")

    @property
    def thermal(self) -> Path:
        """No file."""
        return Path(f"{self.name}, thermal")

    @property
    def fps(self) -> float:
        """The rig's."""
        return self.rig.fps

    def digest(self) -> str:
        """Of the rig's settings and the code that draws."""
        return f"{self.rig} {code_version('runtime.capture', 'runtime.capture.night_drive')}"

    def registration(self, visible: Size, thermal: Size) -> Registration:
        """Exact."""
        return Registration(self.rig.registration)

    def read(self) -> Iterator[FramePair]:
        """The drive from its start, without end."""
        number = 0
        while True:
            yield self.rig.render(number)
            number += 1

    def open(self) -> Fetch:
        """Rendered by number."""
        return self.rig.render


@dataclass(frozen=True)
class Clip:
    """A clip whose frames have been looked through.

    Attributes:
        footage: where its frames come from.
        frames: how many are taken.
        size_px: (width, height) of visible, and of everything after.
        registration: for these sizes.
        ranges: the thermal readings that become 0 and 1 in each frame.
        digest: changes with whatever could change a frame as entries see it, beside its number.
    """

    footage: Footage
    frames: int
    size_px: Size
    registration: Registration
    ranges: tuple[tuple[float, float], ...]
    digest: str

    @property
    def second(self) -> int:
        """Frames a second, at least one."""
        return max(round(self.footage.fps), 1)

    def frame_name(self, number: int) -> str:
        """What a frame is called among pairs."""
        return f"frame {number:06}"

    def frame_digest(self, number: int) -> str:
        """Of one frame's content."""
        return hashlib.sha256(f"{self.digest} {number}".encode()).hexdigest()


def look_through(footage: Footage, agc: AgcSpec, *, frames: int | None, advance: Advance) -> Clip:
    """Read a clip once: its length, its size, and the thermal range of every frame.

    Args:
        footage: where it comes from.
        agc: the gain control.
        frames: take so many, or all.
        advance: told how many frames were read.

    Raises:
        InputError: fewer than two frames.
        RecordingError: a frame that cannot be decoded, or videos of unequal length.
    """
    ranges: list[tuple[float, float]] = []
    forms: list[tuple[Size, Size]] = []
    control: SteadyGain | None = None
    for pair in islice(footage.read(), frames):
        control = control or SteadyGain(agc, pair.thermal.format, bits=footage.bits)
        forms = forms or [(pair.visible.size_px, pair.thermal.size_px)]
        ranges.append(control.range(pair.thermal))
        advance(1)
    if len(ranges) < FEWEST_FRAMES:
        raise InputError(f"{len(ranges)} frames: no clip", where=footage.visible, remedy="give two frames or more")
    if len(ranges) < min(footage.length, frames or footage.length):
        text = f"{footage.name}: {footage.length} frames stated, {len(ranges)} can be decoded: judging these"
        warnings.warn(text, stacklevel=2)
    registration = footage.registration(*forms[0])
    depends_on = [footage.digest(), registration.numbers, footage.bits, asdict(agc)]
    digest = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()
    return Clip(footage, len(ranges), forms[0][0], registration, tuple(ranges), digest)


class Views:
    """A clip's frames as entries see them, by number: visible in RGB, thermal in 8 bits, pixel on pixel."""

    def __init__(self, clip: Clip) -> None:
        self._clip, self._fetch = clip, clip.footage.open()
        self._registered = RegisteredThermal(clip.registration, bits=clip.footage.bits)

    def __call__(self, number: int) -> FramePair:
        """Frame ``number``, from 0; its visible frame's sequence is that number."""
        low, high = self._clip.ranges[number]
        view = self._registered(self._fetch(number), low=low, high=high)
        return FramePair(replace(view.visible, sequence=number), view.thermal, self._clip.frame_name(number))


def file_digest(path: Path) -> str:
    """SHA-256 of a file, read in parts.

    Raises:
        RecordingError: it cannot be read.
    """
    found = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while part := stream.read(1 << 20):
                found.update(part)
    except OSError as error:
        raise RecordingError(f"cannot be read ({error.strerror})", where=path) from error
    return found.hexdigest()


def recorded(
    paths: tuple[Path, Path], *, intersect: bool, topics: tuple[str, str] | None = None, rig: Rig | None
) -> Recorded:
    """The footage of a recording of two videos, or of an MCAP file, where only pairing tells how many frames there are.

    Raises:
        RecordingError: missing, unreadable, or not matching.
    """
    recording = open_recording(*paths, intersect=intersect, topics=topics, rig=rig)
    length = 0 if is_mcap(paths[0]) else recording.length
    # Every recording but stills has a rate.
    return Recorded(*paths, recording.fps or math.nan, length, intersect, topics, rig)
