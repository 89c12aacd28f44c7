"""``edgefusion calibrate frames``: look at everything, choose, pack what was chosen, draw the coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calibrate.frames.choice import NEAR_DUPLICATE
from calibrate.frames.packed import Packing
from calibrate.frames.page import render
from calibrate.frames.selection import Selection, Wish, select
from calibrate.frames.storing import Stored, place_of, store
from calibrate.frames.strata import Row
from calibrate.frames.survey import Survey, Surveyor
from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.calibration import SCHEMA, CalibrationList, CalibrationSet, CalibrationWriter
from edgefusion.core.errors import InputError, RunError
from edgefusion.core.frames import NIGHT_LUMA
from edgefusion.core.geometry import Size
from edgefusion.core.progress import progress
from edgefusion.core.rig import Rig, load_rig, registered
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.layout import tensor_size
from edgefusion.recordings.options import NamedRecording

PAGE = "coverage.html"


@dataclass(frozen=True)
class FramesSettings:
    """What the options of ``edgefusion calibrate frames`` say beside the recordings; see its help."""

    out: Path
    count: int = 256
    holdout_count: int = 64
    seed: int = 0
    rig_path: Path | None = None
    bundle_path: Path | None = None
    quiet: bool = True

    @property
    def wish(self) -> Wish:
        """How many frames."""
        return Wish(self.count, self.holdout_count, self.seed)


@dataclass(frozen=True)
class Result:
    """The set that was written, and how well it covers each stratum."""

    made: CalibrationSet
    rows: list[Row]


def calibrate_frames(recordings: Sequence[NamedRecording], settings: FramesSettings) -> Result:
    """Choose frames of the recordings and write them as a calibration set.

    Raises:
        InputError: too few frames that are usable and unlike each other, or frames of different sizes.
        RunError: interrupted; nothing is left of it.
        EdgeFusionError: whatever else is wrong with the recordings or the place to write to.
    """
    bundle = load_bundle(settings.bundle_path)
    try:
        with CalibrationWriter(settings.out) as writer:
            return _Job(recordings, settings, bundle).run(writer)
    except KeyboardInterrupt:
        raise RunError("interrupted; nothing was written", where=settings.out, remedy="run it again") from None


class _Job:
    def __init__(self, recordings: Sequence[NamedRecording], settings: FramesSettings, bundle: Bundle) -> None:
        self._settings, self._bundle = settings, bundle
        rig = load_rig(settings.rig_path) if settings.rig_path else None
        self._packing = _packing(rig, bundle)
        self._recordings = [named.by(rig) for named in recordings]
        self._total = sum(named.open().length for named in self._recordings) or None

    def run(self, writer: CalibrationWriter) -> Result:
        wish = self._settings.wish
        selection = select(self._survey(), wish, where=", ".join(named.name for named in self._recordings))
        with progress("packing", self._total, hidden=self._settings.quiet) as advance:
            stored = store(self._recordings, self._packing, selection, writer, seed=wish.seed, advance=advance)
        contents = self._contents(selection, stored)
        thumbnails = [stored.thumbnails[place_of(one)] for one in (*selection.training, *selection.holdout)]
        page = render(contents, selection, thumbnails)
        return Result(writer.finish(contents, [(PAGE, page.encode())]), selection.rows)

    def _survey(self) -> Survey:
        check = _size_check(self._bundle) if self._settings.bundle_path else _any_size
        with progress("looking", self._total, hidden=self._settings.quiet) as advance:
            surveyor = Surveyor(self._packing, seed=self._settings.seed, check=check, advance=advance)
            return surveyor.survey(self._recordings)

    def _contents(self, selection: Selection, stored: Stored) -> CalibrationList:
        return CalibrationList(
            schema=SCHEMA,
            sources=tuple(named.name for named in self._recordings),
            size_px=selection.survey.size_px,
            agc=self._bundle.manifest.agc,
            settings=self._facts(stills=selection.survey.stills),
            seen=selection.seen,
            lacks=tuple(selection.lacks),
            frames=stored.in_order(selection.training),
            holdout=stored.in_order(selection.holdout),
        )

    def _facts(self, *, stills: bool) -> dict[str, Any]:
        settings = self._settings
        return {
            "count": settings.count,
            "holdout_count": settings.holdout_count,
            "seed": settings.seed,
            "stills": stills,
            "rig": str(settings.rig_path) if settings.rig_path else None,
            "thermal_bits": self._packing.bits,
            "student": self._bundle.manifest.name,
            "night_luma": NIGHT_LUMA,
            "near_duplicate": round(NEAR_DUPLICATE, 6),
        }


def _packing(rig: Rig | None, bundle: Bundle) -> Packing:
    agc = AgcSpec(**bundle.manifest.agc.model_dump())
    if rig is None:
        return Packing(agc, registered)
    return Packing(agc, rig.registration_for, rig.thermal.bits)


def _any_size(size_px: Size) -> None:
    """The set may be for a student yet to come."""


def _size_check(bundle: Bundle) -> Callable[[Size], None]:
    def check(size_px: Size) -> None:
        wanted = bundle.manifest.layout.size_px
        if tensor_size(size_px) != tensor_size(wanted):
            given, models = ("x".join(map(str, size)) for size in (size_px, wanted))
            raise InputError(
                f"its models are for {models} images and the recording has {given}",
                where=bundle.path,
                remedy=f"export the student with --size {given}",
            )

    return check
