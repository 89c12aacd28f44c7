"""Run records that nobody measured, shaped like a Jetson's: whole, killed, hot, without power, of summed rails."""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.report.schema import (
    Counts,
    Energy,
    Engine,
    Histogram,
    Latency,
    Meter,
    Rail,
    RunRecord,
    Second,
    Software,
    Timeline,
)

FLOOR_NS, PER_OCTAVE = 1_000, 64
WARM_UP = 12
CPU_MHZ = (1510, 1728, 1984)
MADE_UP = "made up by tests/support/records.py: no such run took place"
STAGES = {
    "source": (19.0, 0.08),
    "pack": (1.3, 0.06),
    "execute": (7.6, 0.05),
    "unpack": (1.1, 0.06),
    "sink": (0.4, 0.2),
}
"""Median in ms, and spread of the logarithm."""
NX_RAILS = {"VDD_IN": 12_400.0, "VDD_CPU_GPU_CV": 6_100.0, "VDD_SOC": 2_900.0}
AGX_RAILS = {"VDD_GPU_SOC": 9_800.0, "VDD_CPU_CV": 3_300.0, "VIN_SYS_5V0": 4_700.0, "VDDQ_VDD2_1V8AO": 1_500.0}
DESKTOP_RAILS = {"GPU": 80_000.0, "package-0": 25_000.0}
DESKTOP_METERS = {"GPU": ("nvml", "GPU board"), "package-0": ("rapl", "package")}
Floats = npt.NDArray[np.float64]


def histogram(values_ms: Floats) -> Histogram:
    """What a run would have counted."""
    places = np.floor(np.log2(np.maximum(values_ms * 1e6, FLOOR_NS) / FLOOR_NS) * PER_OCTAVE).astype(int)
    longest = float(values_ms.max()) if len(values_ms) else 0.0
    middles_ms = np.minimum(FLOOR_NS * 2 ** ((np.sort(places) + 0.5) / PER_OCTAVE) / 1e6, longest)
    percentiles = {
        name: round(float(middles_ms[math.ceil(float(name[1:]) / 100 * len(values_ms)) - 1]), 4)
        if len(values_ms) >= least
        else None
        for name, least in (("p50", 1), ("p90", 100), ("p99", 1000), ("p99.9", 10_000))
    }
    return Histogram(
        count=len(values_ms),
        max_ms=float(values_ms.max()) if len(values_ms) else None,
        mean_ms=float(values_ms.mean()) if len(values_ms) else None,
        percentiles_ms=percentiles,
        floor_ns=FLOOR_NS,
        per_octave=PER_OCTAVE,
        counts=dict(sorted(Counter(places.tolist()).items())),
    )


def record(
    *,
    seconds: int = 600,
    fps: int = 30,
    seed: int = 0,
    step_s: float = 1.0,
    rails: dict[str, float] | None = None,
    total: str | None = "VDD_IN",
    hot_from_s: float = math.inf,
    slower: float = 1.0,
    deadline_ms: float | None = 33.3,
    **changes: Any,
) -> RunRecord:
    """A run of so many seconds; with ``hot_from_s`` it is throttled from there on. ``changes`` are fields of it."""
    rails = NX_RAILS if rails is None else rails
    made = _made(seconds, fps, seed, step_s, tuple(rails.items()), total, hot_from_s, slower, deadline_ms)
    return made.model_copy(update=changes)


@lru_cache
def _made(
    seconds: int,
    fps: int,
    seed: int,
    step_s: float,
    named_rails: tuple[tuple[str, float], ...],
    total: str | None,
    hot_from_s: float,
    slower: float,
    deadline_ms: float | None,
) -> RunRecord:
    draw, rails = np.random.default_rng(seed), dict(named_rails)
    frames = seconds * fps
    hot = np.arange(frames) / fps >= hot_from_s
    stages = {
        name: _stage(draw, *shape, hot if name == "execute" else hot & False, slower) for name, shape in STAGES.items()
    }
    stages["source"] = np.maximum(stages["source"] - 6.5 * hot, 0.5)
    published = sum(stages[name] for name in ("pack", "execute", "unpack", "sink")) + draw.gamma(2.0, 0.7, frames)
    published = published + np.where(draw.random(frames) < 0.0006, draw.uniform(8, 34, frames), 0)
    late = published > deadline_ms if deadline_ms else published < 0
    dropped = draw.random(frames) < np.where(hot, 0.01, 0.0004)
    kept = ~dropped
    intervals = histogram(1e3 / fps + draw.normal(0, 0.4, int(kept.sum())))
    p50, p99 = intervals.percentiles_ms["p50"], intervals.percentiles_ms["p99"]
    counted = {name: histogram(values[kept]) for name, values in stages.items()}
    medians = [counted[name].percentiles_ms["p50"] or 0.0 for name in ("pack", "execute", "unpack")]
    timeline = _timeline(draw, published, dropped, fps=fps, step_s=step_s, rails=rails, hot_from_s=hot_from_s)
    meters = [_meter(timeline, rails, total, seconds)] if rails else []
    facts: dict[str, Any] = {
        "state": "complete",
        "started": "2026-11-26T02:10:04Z",
        "command": f"edgefusion run --rig rig.toml --fps {fps} --precision int8 --record run.json".split(),
        "rig": "made-up rig",
        "source": "simulated rig, seed 0",
        "outputs": ["ring /edgefusion"],
        "bundle": "night-drive",
        "student": "proxy-small",
        "width": 1280,
        "height": 720,
        "paced_fps": float(fps),
        "seconds": float(seconds),
        "warm_up_s": 0.4,
        "fps": round(int(kept.sum()) / seconds, 3),
        "fusion_fps": round(1e3 / sum(medians), 1),
        "counts": _counts(frames, dropped, draw),
        "latency": Latency(
            since="exposure",
            published=histogram(published[kept]),
            stages=counted,
            interval=intervals,
            jitter_ms=round(p99 - p50, 4) if p50 and p99 else None,
            skew=histogram(np.abs(draw.normal(1.5, 0.7, int(kept.sum()))) + 0.01),
            deadline_ms=deadline_ms,
            deadline_misses=int((late | dropped).sum()) if deadline_ms else 0,
            longest_streak=min(2, int((late | dropped).sum())) if deadline_ms else 0,
        ),
        "engine": _engine(),
        "software": _software(),
        "meters": meters,
        "energy": _energy(meters, int(kept.sum()), seconds, stages) if meters else None,
        "timeline": timeline,
        "quality": {"PSNR to fp32, dB": 41.3, "Qabf": 0.512},
        "remarks": [MADE_UP],
    }
    return RunRecord(**facts)


def complete(**changes: Any) -> RunRecord:
    """Ten minutes at 30 frames per second."""
    return record(**changes)


def killed(**changes: Any) -> RunRecord:
    """A run that ended after four minutes without ending."""
    text = "no end was recorded: what its journal holds, up to 4.0 s before it died"
    return record(**{"seconds": 240, "state": "killed", "remarks": [MADE_UP, text], **changes})


def without_power(**changes: Any) -> RunRecord:
    """No meter."""
    return record(**{"rails": {}, **changes})


def summed_rails(**changes: Any) -> RunRecord:
    """An AGX Orin, where no rail is the total."""
    return record(**{"rails": AGX_RAILS, "total": None, **changes})


def desktop(**changes: Any) -> RunRecord:
    """A desktop: its GPU and its processor have a meter each, and energy is of both together."""
    run = record(rails=DESKTOP_RAILS, total=None)
    assert run.timeline
    assert run.energy
    (both,), of = run.meters, {f"hwmon/{rail}": f"{name}/{rail}" for rail, (name, _) in DESKTOP_METERS.items()}
    meters = [
        both.model_copy(
            update={
                "name": DESKTOP_METERS[rail.name][0], "scope": DESKTOP_METERS[rail.name][1], "total": rail.name,
                "summed": [], "joules": rail.joules, "idle_mw": rail.idle_mw, "rails": [rail],
            }
        )
        for rail in both.rails
    ]  # fmt: skip
    seconds = [
        second.model_copy(update={"rails_mw": {of[name]: mw for name, mw in second.rails_mw.items()}})
        for second in run.timeline.seconds
    ]
    parts = {
        "meters": meters,
        "energy": run.energy.model_copy(update={"meter": "nvml + rapl", "scope": "GPU board + package"}),
        "timeline": run.timeline.model_copy(update={"seconds": seconds}),
    }
    return run.model_copy(update={**parts, **changes})


def throttled(**changes: Any) -> RunRecord:
    """Hot from the sixth minute on."""
    return record(**{"hot_from_s": 340.0, "seed": 3, **changes})


def short_run(**changes: Any) -> RunRecord:
    """Four seconds: too few frames for p99 and p99.9."""
    return record(**{"seconds": 4, **changes})


def _stage(
    draw: np.random.Generator, median: float, spread: float, hot: npt.NDArray[np.bool_], slower: float
) -> Floats:
    values = median * slower * np.exp(draw.normal(0, spread, len(hot)))
    return np.asarray(np.where(hot, values * 1.85, values))


def _counts(frames: int, dropped: npt.NDArray[np.bool_], draw: np.random.Generator) -> Counts:
    lost = int(dropped.sum())
    facts = {
        "kind": "v4l2",
        "driver": "tegra-video",
        "format": "NV12",
        "size": "1280x720",
        "memory": "userptr",
        "copies": 0,
    }
    thermal = {"kind": "v4l2", "driver": "uvcvideo", "format": "Y16", "memory": "mmap", "copies": 1}
    return Counts(
        published=frames - lost + WARM_UP,
        warm_up=WARM_UP,
        dropped={"late": lost - lost // 4, "no free slot": lost // 4} if lost else {},
        flagged={"stale": int(draw.integers(8, 20)), "thermal_lost": 3} if frames > 1000 else {},
        cameras={
            "visible": {**facts, "came": frames + 3, "used": frames, "reconnects": 0},
            "thermal": {**thermal, "came": frames // 2, "used": frames // 2, "reconnects": 1, "shutter_closed": 4},
        },
        copies_per_frame=1.0,
    )


def _timeline(
    draw: np.random.Generator,
    published: Floats,
    dropped: npt.NDArray[np.bool_],
    *,
    fps: int,
    step_s: float,
    rails: dict[str, float],
    hot_from_s: float,
) -> Timeline:
    per_step = max(int(fps * step_s), 1)
    seconds, events = [], 0
    for number, start in enumerate(range(0, len(published), per_step)):
        part, t_s = published[start : start + per_step], (number + 1) * step_s
        warm = 1 - math.exp(-t_s / 150)
        hot = t_s >= hot_from_s
        events += int(draw.integers(0, 3)) if hot else 0
        lost = int(dropped[start : start + per_step].sum())
        power = {
            f"hwmon/{name}": _around(draw, mw * (0.88 + 0.12 * warm) * (0.82 if hot else 1.0))
            for name, mw in rails.items()
        }
        seconds.append(
            Second(
                t_s=t_s,
                frames=len(part) - lost + (0 if start else WARM_UP),
                dropped=lost,
                p50_ms=float(np.median(part)),
                p99_ms=float(np.percentile(part, 99)),
                rails_mw=power,
                temperatures_c={
                    "gpu": round(46 + (44 if hot_from_s < math.inf else 17) * warm + float(draw.normal(0, 0.2)), 1),
                    "cpu": round(45 + (41 if hot_from_s < math.inf else 15) * warm + float(draw.normal(0, 0.2)), 1),
                    "soc": round(44 + (36 if hot_from_s < math.inf else 13) * warm, 1),
                },
                clocks_mhz={"gpu": 510.0 if hot else 918.0, "emc": 3199.0, "cpu0": float(draw.choice(CPU_MHZ))},
                fan_rpm=round(1200 + 2400 * warm),
                throttled={"oc1 (over-current)": 0, "thermal": events},
                steal=0.0,
                cpu=round(0.62 + float(draw.normal(0, 0.02)), 3),
                resident_mb=round(412 + 3 * warm, 1),
            )
        )  # fmt: skip
    return Timeline(step_s=step_s, seconds=seconds)


def _around(draw: np.random.Generator, mw: float) -> tuple[float, float, float]:
    mean = mw * (1 + float(draw.normal(0, 0.012)))
    return round(mean * 0.94, 1), round(mean, 1), round(mean * 1.08, 1)


def _meter(timeline: Timeline, rails: dict[str, float], total: str | None, seconds: int) -> Meter:
    found = []
    for name in rails:
        lows, means, highs = zip(*(one.rails_mw[f"hwmon/{name}"] for one in timeline.seconds), strict=True)
        mean = float(np.mean(means))
        found.append(
            Rail(
                name=name,
                joules=mean * seconds / 1e3,
                mean_mw=mean,
                min_mw=min(lows),
                max_mw=max(highs),
                idle_mw=mean * 0.45,
            )
        )
    counted = [rail for rail in found if total in (None, rail.name)]
    return Meter(
        name="hwmon",
        scope="module input" if total else "sum of rails",
        total=total,
        summed=[] if total else list(rails),
        interval_ms=2.0,
        samples=seconds * 480,
        missed=31,
        coverage=0.997,
        joules=sum(rail.joules for rail in counted),
        idle_mw=sum(rail.idle_mw or 0 for rail in counted),
        rails=found,
    )


def _energy(meters: list[Meter], frames: int, seconds: int, stages: dict[str, Floats]) -> Energy:
    meter = meters[0]
    gross = 1e3 * (meter.joules or 0) / frames
    idle = (meter.idle_mw or 0) * seconds / frames
    busy = {name: float(values.mean()) for name, values in stages.items() if name != "source"}
    return Energy(
        meter=meter.name,
        scope=meter.scope,
        frames=frames,
        gross_mj=gross,
        net_mj=gross - idle,
        interval_mj=(gross * 0.994, gross * 1.006),
        fps_per_w=1e3 / gross,
        stages_mj={name: gross * ms / sum(busy.values()) for name, ms in busy.items()},
    )


def _engine() -> Engine:
    layers = [
        {"name": f"/body/{number}/conv + relu", "kind": "convolution", "precision": "i8", "where": "gpu", "share": 0.06}
        for number in range(12)
    ]
    return Engine(
        device="orin-nx-16",
        backend="tensorrt",
        precision="int8",
        compute="i8",
        key="4f1c0a92be77",
        sm="8.7",
        layers=[{"name": "x to i8", "kind": "reformat", "precision": "f16", "where": "gpu", "share": 0.04}, *layers],
        peak_tops=30.1,
        bandwidth_gb_s=102.4,
        gmacs=11.8,
        moved_mb=86.0,
    )


def _software() -> Software:
    return Software(
        edgefusion="0.1.0",
        python="3.10.12",
        system="Linux 5.15.148-tegra aarch64",
        processor="ARMv8 Processor rev 1 (v8l)",
        module="NVIDIA Jetson Orin NX 16GB",
        jetpack="6.1",
        l4t="36.4.0",
        driver="540.4.0",
        cuda="12.6",
        backend_version="TensorRT 10.3.0",
        power_mode="25W",
        governors={"cpu": "schedutil", "gpu": "nvhost_podgov"},
    )
