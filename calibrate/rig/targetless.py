"""``edgefusion calibrate rig --targetless``: the registration and the time offset from an ordinary drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from calibrate.rig import views, writing
from calibrate.rig.checks import MOST_UNCERTAINTY_PX
from calibrate.rig.job import RigSettings
from calibrate.rig.offset import Offset, known_lag, time_offset
from calibrate.rig.survey import jpeg, spread
from edgefusion.core.bend import LEAST_RADIAL, MOST_RADIAL
from edgefusion.core.errors import InputError
from edgefusion.core.frames import FramePair, Pixels
from edgefusion.core.geometry import Matrix, Registration, Size, check_registration
from edgefusion.core.progress import Advance, progress
from edgefusion.core.rig import Rig, read_text, registered
from edgefusion.recordings.options import NamedRecording
from edgefusion.recordings.recording import Recording

if TYPE_CHECKING:
    from edgefusion.registration import Estimate, Model, Residual, Windows

PAIRS = 30
"""For the registration, evenly spread."""


@dataclass(frozen=True)
class Drive:
    """What came of a calibration without a target.

    Attributes:
        registration: for the recording's sizes.
        radial: its radial term (``[calibration]`` of rig.toml); None unless the model has one.
        uncertainty_px: expected error, visible pixels.
        support: share of the image's blocks that agree with it.
        offset: of time, or None of still images.
        sizes_px: of the visible and the thermal images.
        names: of the pairs it rests on.
        alone: how far off each of them is by itself.
        windows: where each part of each of them finds itself.
        rejected: name of each other one, and why.
        before: the registration that the rig had, for these sizes.
        pictures: both images of the pairs it rests on, as JPEG.
        cautions: what to mind, as sentences.
    """

    registration: Registration
    radial: float | None
    uncertainty_px: float
    support: float
    offset: Offset | None
    sizes_px: tuple[Size, Size]
    names: list[str]
    alone: list[Residual]
    windows: list[Windows]
    rejected: dict[str, str]
    before: Registration | None
    pictures: list[tuple[bytes, bytes]]
    cautions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """A pair for the registration: what to call it, luma, and thermal reading."""

    name: str
    visible: Pixels
    thermal: Pixels

    @property
    def pictures(self) -> tuple[bytes, bytes]:
        """Both images, as JPEG."""
        return jpeg(views.stretch(self.visible)), jpeg(views.stretch(self.thermal))


@dataclass(frozen=True)
class Refused:
    """What was seen of a drive that was refused.

    Attributes:
        problem: why.
        samples: the pairs that were looked at.
        alone: how far off each is, under what was found, or else under what it was sought about.
    """

    problem: str
    samples: list[Sample]
    alone: list[Residual]


def estimated(samples: Sequence[Sample], start: Matrix | None, model: Model = "homography") -> Estimate:
    """The registration of the samples: the one place that calls the estimator.

    Raises:
        InputError: they cannot be registered.
    """
    from edgefusion import registration

    pairs = [(each.visible, each.thermal) for each in samples]
    return registration.estimate(pairs, start=start, model=model)


def calibrate_drive(
    named: NamedRecording, settings: RigSettings, *, failed: Callable[[Refused], None] | None = None
) -> Drive:
    """Calibrate on a drive and write rig.toml.

    Args:
        named: the recording.
        settings: the rest.
        failed: told what was seen and what is wrong, before it is raised.

    Raises:
        InputError: nothing to register, or not well enough; it says why.
        RigError: the rig.toml is wrong, or cannot be edited.
        EdgeFusionError: whatever else is wrong with the recording or the place to write to.
    """
    rig = settings.rig()
    known = lag_of(named, rig) if rig else 0
    samples, sizes, formats = samples_of(named, lag=known)
    before = rig.registration_for(*sizes) if rig else None
    found = None
    try:
        found = estimated(samples, before.matrix if before else None, settings.model)
        offset = _offset(named, found.registration(sizes[0]), quiet=settings.quiet)
        lag = round(offset.lag_frames) if offset and not offset.doubt else known
        if lag != known:
            samples, *_ = samples_of(named, lag=lag)
            found = estimated(samples, found.matrix, settings.model)
        _check(found)
    except InputError as error:
        if failed:
            under = found.matrix if found else (before or registered(*sizes)).matrix
            failed(Refused(error.what, samples, alone(samples, under, found.lens if found else 0.0)))
        raise error.placed(named.name) from None
    radial = found.lens if settings.model == "lens" else None
    result = _drive(found, samples, sizes, offset, before, radial)
    writing.write_rig(settings.out, _text(result, rig, settings, formats), start=settings.rig_path)
    return result


def alone(samples: Sequence[Sample], matrix: Matrix, lens: float) -> list[Residual]:
    """How far off each pair is under a registration, by itself."""
    from edgefusion import registration

    return [registration.residual(each.visible, each.thermal, matrix, lens=lens) for each in samples]


def _check(found: Estimate) -> None:
    if found.uncertainty_px > MOST_UNCERTAINTY_PX:
        raise InputError(
            f"the registration is uncertain by {found.uncertainty_px:.1f} px, more than {MOST_UNCERTAINTY_PX:g}",
            remedy="record a longer drive past buildings, kerbs and vehicles; for a wide lens give --model lens or use"
            " a target",
        )
    if not LEAST_RADIAL <= found.lens <= MOST_RADIAL:
        raise InputError(
            f"a radial term of {found.lens:.2f}, where lenses have {LEAST_RADIAL:g} to {MOST_RADIAL:g}",
            remedy="use a target, which measures both lenses",
        )


def _offset(named: NamedRecording, registration: Registration, *, quiet: bool) -> Offset | None:
    recording = named.open()
    if recording.fps is None:
        return None
    with progress("timing", recording.length or None, hidden=quiet) as advance:
        return time_offset(_told(recording, advance), registration)


def _told(recording: Recording, advance: Advance) -> Iterator[FramePair]:
    for pair in recording:
        advance(1)
        yield pair


def lag_of(named: NamedRecording, rig: Rig) -> int:
    """How many frames later thermal is to be taken, by the time offsets of the rig: a recording has raw timestamps."""
    recording = named.open()
    if recording.fps is None:
        return 0
    return known_lag(recording, rig.thermal.time_offset_ns - rig.visible.time_offset_ns)


def samples_of(named: NamedRecording, *, lag: int) -> tuple[list[Sample], tuple[Size, Size], tuple[str, str]]:
    """Pairs for the registration, evenly spread, thermal taken so many frames later; sizes and formats."""
    recording = named.open()
    kept = _Kept(recording.length - abs(lag) if recording.length else None)
    visible_at, thermal_at = max(0, -lag), max(0, lag)
    sizes, formats = None, ("", "")
    for index, pair in enumerate(islice(recording, recording.length or None)):
        own = (pair.visible.size_px, pair.thermal.size_px)
        sizes, formats = sizes or own, (pair.visible.format.value, pair.thermal.format.value)
        if kept.wants(index - visible_at):
            kept.lumas[index - visible_at] = (pair.name or f"{index}", views.grey(pair.visible))
        if kept.wants(index - thermal_at):
            kept.readings[index - thermal_at] = views.grey(pair.thermal)
        kept.thin_out()
    if sizes is None:
        raise InputError("the recording has no frame", where=named.name)
    return kept.samples(), sizes, formats


class _Kept:
    """Frames that may become samples, by their place.

    Args:
        count: of the pairs to come; None if unknown: then every k-th is kept, and k doubled when they are too many.
    """

    def __init__(self, count: int | None) -> None:
        self._wanted = None if count is None else set(spread(range(count), PAIRS))
        self._stride = 1
        self.lumas: dict[int, tuple[str, Pixels]] = {}
        self.readings: dict[int, Pixels] = {}

    def wants(self, at: int) -> bool:
        """Whether the frame of a place may become one of a sample."""
        return at in self._wanted if self._wanted is not None else at >= 0 and at % self._stride == 0

    def thin_out(self) -> None:
        """Leave out every second one where they are too many."""
        if max(len(self.lumas), len(self.readings)) > 2 * PAIRS:
            self._stride *= 2
            self.lumas = {at: each for at, each in self.lumas.items() if self.wants(at)}
            self.readings = {at: each for at, each in self.readings.items() if self.wants(at)}

    def samples(self) -> list[Sample]:
        """Those of which both cameras' frames are there, ``PAIRS`` at most."""
        both = sorted(self.lumas.keys() & self.readings.keys())
        return [Sample(*self.lumas[at], self.readings[at]) for at in spread(both, PAIRS)]


def _drive(
    found: Estimate, samples: Sequence[Sample], sizes: tuple[Size, Size], offset: Offset | None,
    before: Registration | None, radial: float | None,
) -> Drive:  # fmt: skip
    used = [samples[index] for index in found.used]
    rejected = {samples[each.index].name: str(each.reason) for each in found.rejected}
    cautions = [] if offset is None or not offset.doubt else [f"no time offset: {offset.doubt}"]
    if found.uncertainty_px > 2:
        cautions.append(f"the registration is uncertain by {found.uncertainty_px:.1f} px: record a longer drive")
    if before and before.bend and radial is None:
        cautions.append("the lenses that the rig had are not followed any more: use a target, or --model lens")
    return Drive(
        found.registration(sizes[0]), radial, found.uncertainty_px, found.support, offset, sizes,
        [each.name for each in used], alone(used, found.matrix, found.lens), _windows(used, found), rejected, before,
        [each.pictures for each in used[:6]], cautions,
    )  # fmt: skip


def _windows(used: Sequence[Sample], found: Estimate) -> list[Windows]:
    from edgefusion import registration

    return [registration.windows(each.visible, each.thermal, found.matrix, lens=found.lens) for each in used]


def _text(drive: Drive, rig: Rig | None, settings: RigSettings, formats: tuple[str, str]) -> str:
    registration, sizes = drive.registration, drive.sizes_px
    if rig:
        registration = registration.scaled(
            visible=(sizes[0], rig.visible.size_px), thermal=(sizes[1], rig.thermal.size_px)
        )
        text = read_text(settings.rig_path) if settings.rig_path else ""
    else:
        text = writing.fresh(sizes, formats, bits=16)
    ruler = {"baseline_m": settings.baseline_m} if settings.baseline_m is not None else {}
    radial = {"radial": round(drive.radial, 6)} if drive.radial is not None else {}
    table = {**ruler, "target": "targetless", "uncertainty_px": round(drive.uncertainty_px, 4), **radial}
    offset = drive.offset.offset_ns if drive.offset and not drive.offset.doubt else None
    if offset is not None and rig:
        offset += rig.visible.time_offset_ns  # the recording's stamps are the cameras' own
    matrix = check_registration(registration.matrix)
    return writing.edited(text, writing.Changes(matrix, table, offset), where=settings.rig_path or settings.out)
