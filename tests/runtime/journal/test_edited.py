"""Records that were edited, and those that only look odd: the first are refused, the others are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import records

from edgefusion.core.errors import InputError
from runtime.journal.compact import to_json, write_record
from runtime.journal.load import load_record
from runtime.report.schema import RunRecord

Raw = dict[str, Any]
KINDS = [
    records.complete,
    records.killed,
    records.without_power,
    records.summed_rails,
    records.desktop,
    records.throttled,
    records.short_run,
]


def put(*place: str | int, value: Any) -> Callable[[Raw], None]:
    """An edit: this field becomes this value."""

    def edit(raw: Any) -> None:
        for step in place[:-1]:
            raw = raw[step]
        raw[place[-1]] = value

    return edit


def no_frames(raw: Raw) -> None:
    raw["counts"]["published"] = 0


def back(raw: Raw) -> None:
    seconds = raw["timeline"]["seconds"]
    seconds[3], seconds[4] = seconds[4], seconds[3]


def fewer_in_a_bucket(raw: Raw) -> None:
    counts = raw["latency"]["published"]["counts"]
    counts[min(counts)] += 1


def dearer(raw: Raw) -> None:
    raw["energy"] |= {"gross_mj": 210.0, "fps_per_w": 1000 / 210}


def cheaper_meter(raw: Raw) -> None:
    raw["meters"][0]["joules"] *= 0.5
    raw["energy"] |= {"gross_mj": raw["energy"]["gross_mj"] * 0.5, "fps_per_w": raw["energy"]["fps_per_w"] * 2}


def other_meter(raw: Raw) -> None:
    raw["energy"]["meter"] = "rapl"


def stage_named_skew(raw: Raw) -> None:
    raw["latency"]["stages"]["skew"] = raw["latency"]["stages"]["pack"]


def ten_times_as_fast(raw: Raw) -> None:
    raw |= {"fps": raw["fps"] * 10, "seconds": raw["seconds"] / 10}


def fewer_frames(raw: Raw) -> None:
    raw["energy"] |= {"frames": 117, "gross_mj": raw["energy"]["gross_mj"] * 10, "interval_mj": None, "fps_per_w": None}


def times(meters: float, *fields: str) -> Callable[[Raw], None]:
    """An edit: joules, energy, and these fields of rails, so many times as large."""

    def edit(raw: Raw) -> None:
        for part in (*raw["meters"], *raw["meters"][0]["rails"]):
            part |= {field: part[field] * meters for field in fields if field in part}
        if "joules" in fields:
            raw["energy"] |= {"gross_mj": raw["energy"]["gross_mj"] * meters, "interval_mj": None, "fps_per_w": None}

    return edit


def little_coverage(raw: Raw) -> None:
    raw["meters"][0]["coverage"] = 0.3
    raw["energy"] |= {"gross_mj": raw["energy"]["gross_mj"] / 0.3, "interval_mj": None, "fps_per_w": None}


def dim_timeline(raw: Raw) -> None:
    for second in raw["timeline"]["seconds"]:
        second["rails_mw"] = {name: [mw / 10 for mw in values] for name, values in second["rails_mw"].items()}


def no_intervals(raw: Raw) -> None:
    raw["latency"]["interval"] = None
    raw["latency"]["jitter_ms"] = 0.1


def empty_intervals(raw: Raw) -> None:
    raw["latency"]["interval"] |= {"count": 0, "counts": {}, "max_ms": None, "mean_ms": None}


def at_once(raw: Raw) -> None:
    seconds = raw["timeline"]["seconds"]
    for second in seconds[1:]:
        second["frames"] = 0
    seconds[0]["frames"] = raw["counts"]["published"]


EDITS: dict[str, tuple[Callable[[Raw], None], str]] = {
    "zero frames": (no_frames, "no frame was published"),
    "clock": (back, "the clock goes backwards, from 5 s to 4 s"),
    "fps": (put("fps", value=84.0), "84 fps for 39.8333 s, and 1195 frames"),
    "seconds": (put("seconds", value=10.0), "30 fps for 10 s"),
    "published": (put("counts", "published", value=1300), "1300 frames less 5 of warm-up, and 1195 latencies"),
    "warm-up": (put("counts", "warm_up", value=50), "1200 frames less 50"),
    "flagged": (put("counts", "flagged", "stale", value=5000), "5000 of 1200 frames flagged stale"),
    "dropped": (put("counts", "dropped", "late", value=7), "0 dropped on the timeline, and 7 by cause"),
    "count": (put("latency", "published", "count", value=1000), "1000 durations, and 1195 in its buckets"),
    "bucket": (fewer_in_a_bucket, "1195 durations, and 1196 in its buckets"),
    "p50": (put("latency", "published", "percentiles_ms", "p50", value=9.0), "latency of published: p50 is 9 ms, and"),
    "p99": (
        put("latency", "published", "percentiles_ms", "p99", value=21.0),
        "latency of published: p99 is 21 ms, and",
    ),
    "p99.9 of too few": (
        put("latency", "published", "percentiles_ms", "p99.9", value=60.0),
        "p99.9 is 60 ms, and not known",
    ),
    "max": (put("latency", "published", "max_ms", value=500.0), "a maximum of 500 ms"),
    "mean": (put("latency", "published", "mean_ms", value=5.0), "a mean of 5 ms"),
    "stage": (put("latency", "stages", "pack", "percentiles_ms", "p50", value=0.5), "latency of pack: p50"),
    "buckets": (put("latency", "skew", "per_octave", value=32), "latency of skew: a histogram from 1000 ns with 32"),
    "buckets of intervals": (
        put("latency", "interval", "per_octave", value=32),
        "latency of interval: a histogram from",
    ),
    "buckets of latency": (
        put("latency", "published", "floor_ns", value=7),
        "latency of published: a histogram from 7 ns",
    ),
    "jitter": (put("latency", "jitter_ms", value=90.0), "jitter is 90 ms"),
    "fusion": (put("fusion_fps", value=900.0), "900 fps of fusion alone"),
    "misses": (put("latency", "deadline_misses", value=1100), "1100 deadlines missed"),
    "no misses": (put("latency", value=None), "latency"),
    "streak": (put("latency", "longest_streak", value=600), "600 deadlines missed in a row"),
    "deadline": (put("latency", "deadline_ms", value=15.0), "deadlines missed, and .* frames late or dropped"),
    "energy": (dearer, "210 mJ for 1170 frames"),
    "joules": (cheaper_meter, "hwmon: .* J by its rails"),
    "frames of energy": (put("energy", "frames", value=2400), "energy of 2400 frames"),
    "net": (put("energy", "net_mj", value=900.0), "900 mJ above idle"),
    "frames per joule": (put("energy", "fps_per_w", value=84.0), "84 frames per joule"),
    "meter": (other_meter, "energy by rapl, which measured none"),
    "stages of energy": (put("energy", "stages_mj", value={"execute": 500.0}), "stages of 500 mJ"),
    "rail": (put("meters", 0, "rails", 0, "max_mw", value=10.0), "hwmon/VDD_IN: a mean"),
    "a second": (put("timeline", "seconds", 5, "frames", value=60), "1230 frames on the timeline, and 1200 published"),
    "no seconds": (put("timeline", "seconds", value=[]), "0 frames on the timeline"),
    "negative fps": (put("fps", value=-30.0), "fps: Input should be greater than or equal to 0"),
    "negative energy": (put("energy", "gross_mj", value=-1.0), "energy.gross_mj"),
    "negative count": (put("counts", "dropped", "late", value=-1), "counts.dropped.late"),
    "not a number": (put("fps", value=float("nan")), "fps: Input should be a finite number"),
    "unknown field": (put("verdict", value="fast"), "verdict: Extra inputs are not permitted"),
    "state": (put("state", value="great"), "state"),
    "a number as text": (put("fps", value="30"), "fps: Input should be a valid number"),
    "a count that is true": (put("counts", "warm_up", value=True), "counts.warm_up: Input should be a valid integer"),
    "width": (put("width", value=0), "frames of 0x480"),
    "height": (put("height", value=0), "frames of 640x0"),
    "a stage like a figure": (stage_named_skew, "latency.stages.skew"),
    "a huge latency": (put("latency", "published", "max_ms", value=1e305), "latency.published.max_ms"),
    "a huge mean": (put("latency", "published", "mean_ms", value=1e305), "latency.published.mean_ms"),
    "a huge count": (put("latency", "published", "count", value=10**20), "latency.published.count"),
    "a huge bucket": (put("latency", "published", "counts", "900", value=10**20), "latency.published.counts.900"),
    "a huge deadline": (put("latency", "deadline_ms", value=1e305), "latency.deadline_ms"),
    "a percentile of another name": (
        put("latency", "published", "percentiles_ms", "foo", value=None),
        "latency.published.percentiles_ms.foo",
    ),
    "hotter than the sun": (put("timeline", "seconds", 3, "temperatures_c", "tj", value=9999.0), "temperatures_c.tj"),
    "colder than nothing": (put("timeline", "seconds", 3, "temperatures_c", "tj", value=-1e308), "temperatures_c.tj"),
    "negative throttling": (put("timeline", "seconds", 3, "throttled", "oc1", value=-5), "throttled.oc1"),
    "more stolen than there is": (put("timeline", "seconds", 3, "steal", value=7.0), "steal"),
    "ten times as fast": (ten_times_as_fast, "3.98333 s after warm-up, and intervals of 39.8333 s"),
    "warm-up of an hour": (put("warm_up_s", value=3600.0), "39.8333 s after 3600 s of warm-up, and a timeline of 40"),
    "energy of a tenth of the frames": (fewer_frames, "energy of 117 frames, and 1195 intervals"),
    "a tenth of the joules": (times(0.1, "joules"), "hwmon/VDD_IN: 35.1 J of 9000 mW in"),
    "a tenth of the power": (times(0.1, "mean_mw", "min_mw", "max_mw"), "351 J of 900 mW in a run of 46"),
    "scope of energy": (
        put("energy", "scope", value="board input"),
        "energy of board input, by a meter of module input",
    ),
    "an interval elsewhere": (
        put("energy", "interval_mj", value=[1.0, 2.0]),
        "300 mJ a frame, in an interval of 1 to 2",
    ),
    "an interval turned": (put("energy", "interval_mj", value=[5000.0, -2.0]), "in an interval of 5000 to -2 mJ"),
    "little coverage": (little_coverage, "energy by hwmon, which measured too little"),
    "power through time": (dim_timeline, "a mean of 9000 mW, and 810 to 990 mW on the timeline"),
    "least above mean": (
        put("timeline", "seconds", 3, "rails_mw", "hwmon/VDD_IN", value=[9500, 9000, 9900]),
        "hwmon/VDD_IN: 9500, 9000, 9900 mW as least, mean and most until 4 s",
    ),
    "negative power": (
        put("timeline", "seconds", 3, "rails_mw", "hwmon/VDD_IN", value=[-99999, 9000, 8000]),
        "hwmon/VDD_IN: -99999, 9000, 8000 mW",
    ),
    "p50 of a second": (put("timeline", "seconds", 3, "p50_ms", value=0.001), "p50 and p99 of 0.001 ms"),
    "no p50 of a second": (put("timeline", "seconds", 3, "p50_ms", value=0.0), "p50 and p99 of 0 ms"),
    "a bucket far away": (put("latency", "published", "counts", str(10**12), value=0), "no bucket 1000000000000"),
    "p50 above p99": (put("timeline", "seconds", 3, "p50_ms", value=70.0), "p50 and p99 of 70 ms"),
    "p99 of a second": (
        put("timeline", "seconds", 3, "p99_ms", value=5000.0),
        "p50 and p99 of .* and 5000 ms until 4 s",
    ),
    "misses without a streak": (put("latency", "longest_streak", value=0), "deadlines missed, and none in a row"),
    "jitter without intervals": (no_intervals, "jitter is 0.1 ms, and there are no intervals"),
    "empty intervals": (empty_intervals, "latency of interval: p50 is"),
    "all at once": (at_once, "1200 frames from 0 s to 1 s, never less than"),
    "long steps": (put("timeline", "step_s", value=100.0), "41 entries of 100 s in 40"),
    "half a pair of a letter": (put("rig", value="\ud800"), "run.json"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_refused(name: str, written: str, tmp_path: Path) -> None:
    edit, message = EDITS[name]
    raw = json.loads(written)
    edit(raw)
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message) as refused:
        load_record(tmp_path / "run.json")
    assert str(tmp_path / "run.json") in refused.value.where
    assert refused.value.remedy


def of_a_sum(raw: Raw) -> None:
    """Its meter missed readings, so that the sum is not exactly that of its rails; that is no contradiction."""
    meter = raw["meters"][0]
    assert meter["missed"]
    meter["joules"] *= 0.95
    raw["energy"] |= {"gross_mj": raw["energy"]["gross_mj"] * 0.95, "fps_per_w": None}
    raw["energy"]["stages_mj"] = {}


def summed_twice(raw: Raw) -> None:
    raw["meters"][0]["summed"] *= 2


SUMS: dict[str, tuple[Callable[[Raw], None], str]] = {
    "ten times the sum": (times(10, "joules"), "J"),
    "a tenth of the sum": (times(0.1, "joules"), "J"),
    "a rail twice": (summed_twice, "which its rails do not add up to"),
    "a rail that there is not": (put("meters", 0, "summed", 0, value="VDD_X"), "which its rails do not add up to"),
}


def ten_times_the_sum_alone(raw: Raw) -> None:
    raw["meters"][0]["joules"] *= 10
    raw["energy"] |= {"gross_mj": raw["energy"]["gross_mj"] * 10, "interval_mj": None, "fps_per_w": None}


SUMS["ten times the sum, not its rails"] = (ten_times_the_sum_alone, "of rails that have")


@pytest.mark.parametrize("name", SUMS)
def test_an_edited_sum_of_rails_is_refused(name: str, tmp_path: Path) -> None:
    edit, message = SUMS[name]
    raw = json.loads(to_json(records.summed_rails()))
    of_a_sum(raw)
    (tmp_path / "run.json").write_text(json.dumps(raw))
    load_record(tmp_path / "run.json")
    edit(raw)
    (tmp_path / "run.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=message):
        load_record(tmp_path / "run.json")


@pytest.mark.parametrize("make", KINDS)
def test_records_of_every_kind_are_read(make: Callable[[], RunRecord], tmp_path: Path) -> None:
    write_record(tmp_path / "run.json", make())
    assert load_record(tmp_path / "run.json") == make()


@pytest.mark.parametrize("name", ["paced", "free"])
def test_the_records_of_the_docs_are_read(name: str) -> None:
    assert load_record(Path(__file__).parents[3] / f"docs/runs/{name}.json").counts.published
