"""``edgefusion profile``: run every combination once, keep each record, and sum up."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefusion.core.bundle import Bundle, Precision
from edgefusion.core.devices import Device, find_device
from edgefusion.core.errors import EdgeFusionError, MachineError, UsageError
from edgefusion.core.files import atomic_write
from edgefusion.core.geometry import Size
from edgefusion.core.rig import load_rig
from edgefusion.core.signing import load_signed
from runtime import run as room
from runtime.build import fastest
from runtime.pipeline.lane import Lane
from runtime.profile.bench import Bench, MachineBench
from runtime.profile.cooling import LONGEST_S, WARMER_C, cool_down, pause_s
from runtime.profile.page import write_page
from runtime.profile.plan import Combination, combine, precisions_of, sizes_of
from runtime.profile.power_modes import PowerMode, PowerModes
from runtime.profile.summary import Row, Summary, finished, metric_of, quality_of, unfinished, with_front
from runtime.stopping import stop_on_signals

WARM_UP_PART, LONGEST_WARM_UP_S = 0.1, 60.0
REST_S = 10.0
PRERENDERED = 30
TELL_S = 0.5

Tell = Callable[[str, str, float], None]
"""Told how it goes: the combination, what it does, and how much of it is done (0..1)."""


@dataclass(frozen=True)
class ProfileSettings:
    """What the options of ``edgefusion profile`` say; see its help."""

    out: Path
    bundle_path: Path | None = None
    device_name: str = "auto"
    ungated: bool = False
    require_signature: Path | None = None
    rig: Path | None = None
    duration_s: float = 60.0
    sweep: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    sizes: tuple[Size, ...] = ()
    power_modes: tuple[str, ...] = ()
    allow_power_mode: bool = False
    fps: float | None = None
    seed: int = 0
    force: bool = False

    @property
    def warm_up_s(self) -> float:
        """Not counted, before the duration begins."""
        return min(WARM_UP_PART * self.duration_s, LONGEST_WARM_UP_S)

    @property
    def changes_power_mode(self) -> bool:
        """Whether the machine's power mode is to be changed."""
        return bool(self.power_modes) or "power-mode" in self.sweep


def _quiet(name: str, what: str, done: float) -> None:
    """Nobody watches."""


def profile(settings: ProfileSettings, *, tell: Tell = _quiet, bench: Bench | None = None) -> Summary:
    """Run what is not there yet, and write ``summary.json`` and ``summary.html``.

    A combination that fails has its reason in the summary, and the others go on. Ctrl-C ends the run in hand, which is
    not kept; the same call goes on from there.

    Raises:
        EdgeFusionError: the settings, the bundle, the device, the folder, or a power mode that was not put back.
    """
    bundle = load_signed(settings.bundle_path, settings.require_signature, ungated=settings.ungated)
    device = find_device(settings.device_name)
    modes = _power_modes(settings)
    wanted = _plan(settings, bundle, device, modes)
    _prepare_folder(settings, bundle, device, wanted)
    work = _Work(settings, bundle, tell, bench or MachineBench())
    with stop_on_signals() as stop:
        rows = work.rows(wanted, modes, stop)
    summary = _summary(settings, bundle, device, rows, metric=metric_of(work.quality))
    _write(settings.out / "summary.json", summary.model_dump_json(by_alias=True, indent=2) + "\n")
    write_page(settings.out / "summary.html", summary)
    return summary


def rules(settings: ProfileSettings) -> list[str]:
    """How the runs were made, in words."""
    return [
        f"Each run counts for {settings.duration_s:g} s. Before that it warms up, uncounted, for "
        f"{settings.warm_up_s:g} s and five frames at least.",
        f"Between runs the machine cools until no zone is more than {WARMER_C:g} C above what it was before the first, "
        f"for {LONGEST_S:g} s at most; where no temperature can be read it pauses {pause_s(settings.duration_s):g} s.",
        f"Where power is measured, the idle baseline is measured for {REST_S:g} s right before each run.",
    ]


class _Work:
    """Makes the rows, one after the other."""

    def __init__(self, settings: ProfileSettings, bundle: Bundle, tell: Tell, bench: Bench) -> None:
        self._settings, self._tell, self._bench = settings, tell, bench
        self.quality = quality_of(bundle)
        self._ran = False

    def rows(self, wanted: list[Combination], modes: PowerModes | None, stop: threading.Event) -> list[Row]:
        before_c = self._bench.temperatures_c()
        missing = [each for each in wanted if not self._path(each).exists()]
        with _kept(modes if missing else None):
            made = {each.name: self._make(each, modes, before_c, stop) for each in missing}
        return [made.get(each.name) or finished(each, self._path(each), self.quality) for each in wanted]

    def _path(self, combination: Combination) -> Path:
        return self._settings.out / f"{combination.name}.json"

    def _make(
        self, combination: Combination, modes: PowerModes | None, before_c: Any, stop: threading.Event
    ) -> Row:  # fmt: skip
        if stop.is_set():
            return unfinished(combination)
        try:
            done = self._measure(combination, modes, before_c, stop)
        except EdgeFusionError as error:
            return unfinished(combination, "" if stop.is_set() else str(error))
        return finished(combination, self._path(combination), self.quality) if done else unfinished(combination)

    def _measure(
        self, combination: Combination, modes: PowerModes | None, before_c: Any, stop: threading.Event
    ) -> bool:  # fmt: skip
        if modes and combination.power_mode:
            modes.set(combination.power_mode)
        if self._ran:
            self._tell(combination.name, "cooling down", 0.0)
            cool_down(self._bench.temperatures_c, before_c, duration_s=self._settings.duration_s, stop=stop)
        self._tell(combination.name, "at rest", 0.0)
        self._bench.rest(REST_S, stop)
        self._ran = True
        part = self._settings.out / f".{combination.name}.json"
        settings = self._run_settings(combination, part)
        try:
            done = not stop.is_set() and self._bench.run(settings, show=self._shown(combination), stop=stop)
            if done:
                os.replace(part, self._path(combination))
        finally:
            for left in (part, part.with_suffix(".jsonl")):
                left.unlink(missing_ok=True)
        return done

    def _run_settings(self, combination: Combination, record: Path) -> room.RunSettings:
        given = self._settings
        simulated = {"size_px": combination.size_px, "prerender": PRERENDERED, "seed": given.seed, "fps": given.fps}
        return room.RunSettings(
            bundle_path=given.bundle_path,
            device_name=given.device_name,
            ungated=given.ungated,
            require_signature=given.require_signature,
            precision=combination.precision,
            frames=0,
            duration_s=given.duration_s,
            warm_up_s=given.warm_up_s,
            record=record,
            **({"rigs": (given.rig,)} if given.rig else simulated),
        )

    def _shown(self, combination: Combination) -> Callable[[Lane], None]:
        told_s = 0.0

        def show(lane: Lane) -> None:
            nonlocal told_s
            if (now_s := time.monotonic()) > told_s + TELL_S:  # seldom: it is being measured
                told_s, statistics = now_s, lane.statistics
                what = f"{statistics.fps:.1f} fps" if statistics.warm_up_frames else "warming up"
                self._tell(combination.name, what, min(statistics.counted_s / self._settings.duration_s, 1.0))

        return show


@contextmanager
def _kept(modes: PowerModes | None) -> Iterator[None]:
    """The power mode is put back afterwards."""
    if modes is None:
        yield
        return
    with modes:
        yield


def _power_modes(settings: ProfileSettings) -> PowerModes | None:
    if not settings.changes_power_mode:
        return None
    if not settings.allow_power_mode:
        raise UsageError(
            "the power mode is this machine's, for all that runs on it",
            where="--sweep power-mode",
            remedy="--allow-power-mode changes it and puts it back",
        )
    return PowerModes()


def _plan(
    settings: ProfileSettings, bundle: Bundle, device: Device, modes: PowerModes | None
) -> list[Combination]:  # fmt: skip
    sizes = sizes_of(bundle, settings.sizes, swept="size" in settings.sweep, rig=settings.rig is not None)
    if settings.rig and settings.fps:
        raise UsageError("--fps paces the simulated rig", remedy="set fps of the cameras in rig.toml")
    precisions = precisions_of(bundle, settings.precisions, swept="precision" in settings.sweep)
    if not precisions:
        size = load_rig(settings.rig).visible.size_px if settings.rig else sizes[0]
        precisions = [fastest(bundle, device, size_px=size or bundle.manifest.layout.size_px).facts["precision"]]
    chosen: list[PowerMode | None] = [None]
    if modes:
        chosen = [modes.named(name) for name in settings.power_modes] or list(modes.modes)
    return combine(precisions, sizes, chosen)


def _prepare_folder(settings: ProfileSettings, bundle: Bundle, device: Device, wanted: list[Combination]) -> None:
    """Make sure that every record in the folder belongs to this very profile.

    Raises:
        UsageError: they are another one's.
        MachineError: it cannot be made or read.
    """
    mine = {
        "bundle": bundle.manifest.digest,
        "device": device.name,
        "duration_s": settings.duration_s,
        "fps": settings.fps,
        "seed": settings.seed,
        "rig": settings.rig.read_text() if settings.rig else None,
    }
    about = settings.out / "profile.json"
    try:
        settings.out.mkdir(parents=True, exist_ok=True)
        known: dict[str, Any] = json.loads(about.read_text()) if about.exists() else {"profile": mine, "records": []}
        others = [name for name in mine if known["profile"].get(name) != mine[name]]
        records = {Path(name).name for name in known["records"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MachineError(f"cannot be used ({error!r})", where=settings.out, remedy="choose another --out") from error
    if others and not settings.force:
        raise UsageError(
            f"a profile with another {', '.join(others)} is in there",
            where=settings.out,
            remedy="choose another --out, or --force replaces it",
        )
    if settings.force:
        for name in records:
            (settings.out / name).unlink(missing_ok=True)
        records = set()
    names = sorted(records | {f"{each.name}.json" for each in wanted})
    _write(about, json.dumps({"profile": mine, "records": names}, indent=2) + "\n")


def _summary(
    settings: ProfileSettings, bundle: Bundle, device: Device, rows: list[Row], *, metric: str | None
) -> Summary:
    return Summary(
        schema=1,
        bundle=bundle.manifest.name,
        device=device.name,
        source=f"rig {settings.rig}" if settings.rig else f"simulated rig, seed {settings.seed}, drawn beforehand",
        duration_s=settings.duration_s,
        warm_up_s=settings.warm_up_s,
        paced_fps=settings.fps,
        latency_from="exposure" if settings.rig or settings.fps else "receive",
        metric=metric,
        rules=rules(settings),
        rows=with_front(rows, metric),
    )


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(text.encode())
