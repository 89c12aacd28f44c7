from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journals import Rehearsal, record_of

from edgefusion.core.errors import InputError
from runtime.journal.compact import compact, write_record
from runtime.journal.load import load_record

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A record of 40 s."""
    path = tmp_path_factory.mktemp("record") / "run.jsonl"
    record_of(path, seconds=40)
    compact(path)
    return path.with_suffix(".json").read_text()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Of a run that was killed after 14 s."""
    path, run = tmp_path / "run.jsonl", Rehearsal()
    recording = run.recording(path)
    for second in range(14):
        run.drive(1)
        run.dropped["late"] += second == 13
        recording.step()
    recording.close()
    return path


def test_a_record_is_read_as_it_was_written(written: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(written)
    write_record(tmp_path / "again.json", load_record(tmp_path / "run.json"))
    assert (tmp_path / "again.json").read_text() == written


def test_a_killed_run_is_read_up_to_its_last_line(journal: Path) -> None:
    record = load_record(journal)
    assert record.state == "killed"
    assert record.counts.published == 14 * 30
    assert record.latency.published.count == 14 * 30 - 5
    assert record.latency.stages["execute"].count == 11 * 30 - 5
    assert record.counts.dropped["late"] == 1
    assert record.seconds == pytest.approx(14 - 5 / 30, abs=1e-4)
    assert record.energy is not None
    assert record.energy.frames == 10 * 30
    assert record.remarks == [
        "the run was killed, or the machine stopped: these are its first 14 s",
        "stages, intervals, skew, flags, cameras and energy are of the first 11 s",
    ]


def test_a_torn_last_line_is_left_out(journal: Path) -> None:
    whole = load_record(journal)
    content = journal.read_bytes()
    for torn in (content + b'{"kind":"step","step_s":1.0,"sec', content + b"\0" * 512, content[:-20]):
        journal.write_bytes(torn)
        record = load_record(journal)
        assert record.state == "killed"
        assert record.counts.published == whole.counts.published - (30 if torn == content[:-20] else 0)


def test_a_journal_that_was_cut_anywhere_is_read_or_refused(journal: Path) -> None:
    content = journal.read_bytes()
    for size in range(0, len(content), 997):
        journal.write_bytes(content[:size])
        if content[:size].count(b"\n") < 3:  # before the first checkpoint there is nothing to report
            with pytest.raises(InputError):
                load_record(journal)
        else:
            assert load_record(journal).counts.published % 30 == 0


@pytest.mark.parametrize("warm_up", [60, 1800, 1810])
def test_a_run_killed_between_the_step_that_ends_warm_up_and_its_checkpoint_ends_before(
    warm_up: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("journals.WARM_UP", warm_up)
    path, run = tmp_path / "run.jsonl", Rehearsal()
    recording, places = run.recording(path), list[int]()
    for _ in range(warm_up // 30 + 4):
        run.drive(1)
        recording.step()
        places.append(path.stat().st_size)
    recording.close()
    whole = load_record(path)
    assert (whole.counts.warm_up, whole.counts.published) == (warm_up, len(places) * 30)
    content = path.read_bytes()
    at = warm_up // 30  # the step in which the first frame after warm-up comes
    step, checkpoint = content[places[at - 1] : places[at]].splitlines(keepends=True)
    assert checkpoint.startswith(b'{"kind":"checkpoint"')
    path.write_bytes(content[: places[at - 1]] + step)
    record = load_record(path)
    assert (record.counts.warm_up, record.counts.published) == (0, at * 30)
    assert record.timeline is not None
    assert len(record.timeline.seconds) == at
    assert record.remarks[0] == f"the run was killed, or the machine stopped: these are its first {at} s"


def test_a_journal_that_is_still_written_says_so(tmp_path: Path) -> None:
    run = Rehearsal()
    recording = run.recording(tmp_path / "run.jsonl")
    run.drive(1)
    recording.step()
    assert load_record(tmp_path / "run.jsonl").remarks == ["the run still goes on: these are its first 1 s"]
    recording.close()


def test_a_killed_run_can_be_compacted(journal: Path) -> None:
    record = compact(journal)
    assert not journal.exists()
    assert load_record(journal.with_suffix(".json")) == record
    assert record.state == "killed"


def test_a_line_that_is_damaged_in_the_middle_is_refused_with_its_number(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], b'{"kind":"step"\n', *lines[6:]]))
    with pytest.raises(InputError, match=r"run\.jsonl line 6: not a line of a journal"):
        load_record(journal)


def test_lines_in_another_order_are_a_clock_that_goes_backwards(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], lines[6], lines[5], *lines[7:]]))
    with pytest.raises(InputError, match=r"line 7: the clock goes backwards, from 5 s to 4 s"):
        load_record(journal)


def test_a_journal_of_two_runs_is_refused(journal: Path) -> None:
    content = journal.read_bytes()
    journal.write_bytes(content + content)
    with pytest.raises(InputError, match="a second header"):
        load_record(journal)


def test_a_journal_of_another_schema_is_refused(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().replace(b'"kind":"header"', b'"kind":"header","schema":4'))
    with pytest.raises(InputError, match="line 1: not a line of a journal"):
        load_record(journal)


def test_a_journal_of_other_buckets_is_refused(journal: Path) -> None:
    content = journal.read_bytes()
    journal.write_bytes(content.replace(b'"per_octave":64', b'"per_octave":32'))
    with pytest.raises(InputError, match="latency of published: a histogram from 1000 ns with 32") as refused:
        load_record(journal)
    assert refused.value.where == str(journal)
    first = content.index(b'"counts":{"')
    journal.write_bytes(content[:first] + b'"counts":{"99999":1,"' + content[first + len(b'"counts":{"') :])
    with pytest.raises(InputError, match=r"run\.jsonl line .*99999"):
        load_record(journal)


def test_an_edited_journal_is_refused(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().replace(b'"frames":30', b'"frames":60'))
    with pytest.raises(InputError, match="contradict each other"):
        load_record(journal)


def test_a_record_beside_a_journal_is_not_taken_for_the_last_run(written: str, journal: Path) -> None:
    journal.with_suffix(".json").write_text(written)
    assert load_record(journal.with_suffix(".json")).remarks == [
        "run.jsonl beside it is of a later run, which is not in this record"
    ]


def test_a_missing_record_leads_to_the_journal(journal: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give .*run\.jsonl"):
        load_record(journal.with_suffix(".json"))
    with pytest.raises(InputError, match="edgefusion run --record"):
        load_record(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xd8\xff\xe0", "it is no text"),
        (b"no record", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[1, 2]", "it has no schema"),
        (b'{"frames": 3}', "it has no schema"),
        (
            b'{"schema": 2, "machine": {"edgefusion": "0.0.9"}}',
            "schema 2; this edgefusion reads 3; .* edgefusion 0.0.9",
        ),
        (b'{"schema": "x"}', "schema 'x'"),
    ],
)
def test_what_is_no_record_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_record(tmp_path / "run.json")


def test_a_record_that_is_cut_off_is_refused(written: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(written[: len(written) // 2])
    with pytest.raises(InputError, match="it is cut off"):
        load_record(tmp_path / "run.json")


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
