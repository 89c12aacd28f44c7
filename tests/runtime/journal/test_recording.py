from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from journals import LongRehearsal, Rehearsal, record_of
from little_disk import full_disk

from edgefusion.core.errors import MachineError, UsageError
from runtime.journal import recording as recording_module
from runtime.journal.compact import compact
from runtime.journal.load import load_record
from runtime.journal.recording import journal_path
from runtime.report.schema import Meter, RunRecord


def record_long(tmp_path: Path, *, seconds: int, watch: Callable[[Path], None] = Path.stat) -> tuple[int, RunRecord]:
    """How many steps a run of so many seconds took, and its record."""
    path, run, steps = tmp_path / "run.jsonl", LongRehearsal(), 0
    recording = run.recording(path)
    while run.elapsed_s < seconds:
        run.pass_by(round(recording.step_s))
        recording.step()
        steps += 1
        watch(path)
    recording.end("complete")
    watch(path)
    return steps, compact(path)


def test_a_run_is_recorded_whole(tmp_path: Path) -> None:
    run = record_of(tmp_path / "run.jsonl", seconds=40)
    record = compact(tmp_path / "run.jsonl")
    assert not (tmp_path / "run.jsonl").exists()
    assert load_record(tmp_path / "run.json") == record
    assert (record.state, record.counts.published, record.counts.warm_up) == ("complete", 1200, 5)
    assert (record.width, record.height, record.remarks) == (640, 480, [])
    assert record.latency.published == run.snapshot().published.to_model()
    assert record.latency.stages["execute"] == run.snapshot().stages["execute"].to_model()
    assert record.latency.jitter_ms == pytest.approx(0, abs=0.4)
    assert record.fps == pytest.approx(30, abs=0.01)
    assert record.fusion_fps == pytest.approx(1000 / (2 + 3 + 4), rel=0.03)


def test_the_timeline_has_an_entry_for_each_second(tmp_path: Path) -> None:
    record_of(tmp_path / "run.jsonl", seconds=12)
    timeline = compact(tmp_path / "run.jsonl").timeline
    assert timeline is not None
    assert [round(second.t_s) for second in timeline.seconds[:-1]] == list(range(1, 13))
    assert {second.frames for second in timeline.seconds[:-1]} == {30}
    first = timeline.seconds[0]
    assert first.rails_mw["hwmon/VDD_IN"] == (8100, 9000, 9900)
    assert first.temperatures_c["tj"] == 51.25
    assert first.p50_ms == pytest.approx(20, rel=0.1)
    assert first.p99_ms is not None
    assert first.p50_ms is not None
    assert first.p99_ms > first.p50_ms


def test_energy_counts_from_the_end_of_warm_up_for_the_frames_since(tmp_path: Path) -> None:
    record_of(tmp_path / "run.jsonl", seconds=40)
    energy = compact(tmp_path / "run.jsonl").energy
    assert energy is not None
    assert energy.frames == 1200 - 30  # the first mark is set at the first step after warm-up
    assert energy.gross_mj == pytest.approx(9.0 / 30 * 1e3, rel=1e-3)
    assert energy.interval_mj == pytest.approx((300, 300), rel=1e-3)


def test_drops_come_by_cause_and_in_their_second(tmp_path: Path) -> None:
    run = Rehearsal()
    recording = run.recording(tmp_path / "run.jsonl")
    for second in range(4):
        run.dropped["late"] += 2 if second == 2 else 0
        run.drive(1)
        recording.step()
    recording.end("interrupted")
    record = compact(tmp_path / "run.jsonl")
    assert record.state == "interrupted"
    assert record.counts.dropped == {"late": 2, "no free slot": 0}
    assert record.timeline is not None
    assert [each.dropped for each in record.timeline.seconds] == [0, 0, 2, 0, 0]
    assert record.latency.deadline_misses >= 2
    assert record.latency.longest_streak >= 2


def test_without_meters_nothing_is_measured_rather_than_zero(tmp_path: Path) -> None:
    record_of(tmp_path / "run.jsonl", seconds=3, power=None, readings=None)
    record = compact(tmp_path / "run.jsonl")
    assert (record.meters, record.energy) == ([], None)
    assert record.timeline is not None
    assert record.timeline.seconds[0].rails_mw == {}
    assert record.timeline.seconds[0].cpu is None


def test_what_a_full_disk_swallowed_is_said_once_and_marked_and_still_counted(tmp_path: Path) -> None:
    path, said = tmp_path / "run.jsonl", list[str]()
    run = Rehearsal()
    recording = run.recording(path, say=said.append)
    for second in range(9):
        run.drive(1)
        if 3 <= second < 6:
            with full_disk(path):
                recording.step()
        else:
            recording.step()
    recording.end("complete")
    record = compact(path)
    assert len(said) == 1
    assert "the run goes on" in said[0]
    assert record.remarks == ["nothing could be written for a time after 3 s: one entry stands for all of it"]
    assert record.timeline is not None
    assert [each.frames for each in record.timeline.seconds] == [30, 30, 30, 120, 30, 30, 0]
    assert record.counts.published == 270


def test_a_disk_that_stays_full_leaves_a_journal_that_can_be_read(tmp_path: Path) -> None:
    path, run = tmp_path / "run.jsonl", Rehearsal()
    recording = run.recording(path)
    run.drive(1)
    recording.step()
    with full_disk(path):
        run.drive(1)
        recording.step()
        with pytest.raises(MachineError, match="end of the run could not be written"):
            recording.end("complete")
    record = load_record(path)
    assert (record.state, record.counts.published) == ("killed", 30)


class RoomIsMade(Rehearsal):
    """Its disk has room again between a step and the checkpoint after it."""

    def so_far(self, timestamp_ns: int) -> list[Meter]:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        return super().so_far(timestamp_ns)


def test_a_step_that_could_not_be_written_has_no_checkpoint(tmp_path: Path) -> None:
    path, run = tmp_path / "run.jsonl", RoomIsMade()
    recording = run.recording(path)
    for _ in range(3):
        run.drive(1)
        recording.step()
    run.drive(1)
    with full_disk(path), suppress(MachineError):
        recording.end("complete")
    assert load_record(path).counts.published == 90


def test_an_end_without_its_checkpoint_is_an_end(tmp_path: Path) -> None:
    path, run = tmp_path / "run.jsonl", Rehearsal()
    recording = run.recording(path)
    for _ in range(3):
        run.drive(1)
        recording.step()
    with full_disk(path, room=40):
        recording.end("complete")
    record = load_record(path)
    assert (record.state, record.counts.published, record.latency.published.count) == ("complete", 90, 85)
    assert record.remarks == ["stages, intervals, skew, flags, cameras and energy are of the first 1 s"]


def test_a_record_that_does_not_fit_on_the_disk_leaves_the_journal(tmp_path: Path) -> None:
    record_of(tmp_path / "run.jsonl")
    small = tmp_path / "small"
    small.write_bytes(b"")
    with full_disk(small), pytest.raises(MachineError, match="cannot write"):
        compact(tmp_path / "run.jsonl")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.jsonl", "small"]
    assert load_record(tmp_path / "run.jsonl").state == "complete"


def test_where_nothing_can_be_written_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot record there"):
        Rehearsal().recording(tmp_path / "missing" / "run.jsonl")
    (tmp_path / "small").write_bytes(b"")
    with full_disk(tmp_path / "small"), pytest.raises(MachineError, match="cannot record there"):
        Rehearsal().recording(tmp_path / "run.jsonl")
    assert not (tmp_path / "run.jsonl").exists()
    with pytest.raises(UsageError, match="name of a journal"):
        journal_path(tmp_path / "run.jsonl")


def test_two_runs_do_not_record_into_one_file(tmp_path: Path) -> None:
    first = Rehearsal().recording(tmp_path / "run.jsonl")
    with pytest.raises(MachineError, match="another run records there"):
        Rehearsal().recording(tmp_path / "run.jsonl")
    first.close()


def test_the_journal_of_a_killed_run_is_set_aside(tmp_path: Path) -> None:
    path, said = tmp_path / "run.jsonl", list[str]()
    for _ in range(2):
        run = Rehearsal()
        recording = run.recording(path, say=said.append)
        run.drive(1)
        recording.step()
        recording.close()
    Rehearsal().recording(path, say=said.append).close()
    Rehearsal().recording(path).close()  # the one before holds nothing that is worth keeping
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.1.jsonl", "run.2.jsonl", "run.jsonl"]
    assert [line.endswith(f"run.{number}.jsonl") for number, line in enumerate(said, 1)] == [True, True]
    assert load_record(tmp_path / "run.1.jsonl").counts.published == 30


def test_a_long_run_thins_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "LEVEL_STEPS", 32)
    steps, record = record_long(tmp_path, seconds=900)
    timeline = record.timeline
    assert timeline is not None
    assert steps < 32 * 5
    assert timeline.step_s == 16
    assert 900 / 16 <= len(timeline.seconds) <= 900 / 16 + 3
    spans = [after.t_s - before.t_s for before, after in pairwise(timeline.seconds)]
    assert spans[:-2] == pytest.approx([16] * len(spans[:-2]))
    assert record.counts.published == sum(each.frames for each in timeline.seconds)
    exact = record.latency.published.percentiles_ms["p50"]
    middle = [each.p50_ms for each in timeline.seconds[:-1]]
    assert middle == pytest.approx([exact] * len(middle), rel=0.1)
    assert timeline.seconds[0].rails_mw["hwmon/VDD_IN"] == (8100, 9000, 9900)


@pytest.mark.slow
def test_a_day_stays_under_50_mb_and_in_flat_memory(tmp_path: Path) -> None:
    sizes, resident = list[int](), list[int]()

    def watch(path: Path) -> None:
        sizes.append(path.stat().st_size)
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE"))

    steps, record = record_long(tmp_path, seconds=24 * 3600, watch=watch)
    early, late = resident[len(resident) // 10], resident[-1]
    print(f"a day: {steps} steps, {sizes[-1] / 1e6:.1f} MB, resident {early / 1e6:.1f} to {late / 1e6:.1f} MB")
    assert sizes[-1] < 50e6
    assert late - early < 10e6
    assert record.timeline is not None
    assert 1000 < len(record.timeline.seconds) < 4000
    assert record.counts.published > 2_500_000


def test_a_step_takes_less_than_a_hundredth_of_a_processor(tmp_path: Path) -> None:
    run = Rehearsal(spread=0.5)
    recording, took = run.recording(tmp_path / "run.jsonl"), list[float]()
    for _ in range(40):
        run.drive(1)
        began = time.thread_time()
        recording.step()
        took.append(time.thread_time() - began)
    recording.close()
    print(f"processor time of a step: {sum(took) / len(took) * 1e3:.2f} ms")
    assert sum(took) / len(took) < 0.01


def test_a_record_satisfies_its_json_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    record_of(tmp_path / "run.jsonl")
    compact(tmp_path / "run.jsonl")
    schema = json.loads(json.dumps(RunRecord.model_json_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    written = json.loads((tmp_path / "run.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(written)
    written["latency"]["published"]["count"] = -1
    assert not validator.is_valid(written)


def test_lines_reach_the_disk_as_they_are_written(tmp_path: Path) -> None:
    run = Rehearsal()
    recording = run.recording(tmp_path / "run.jsonl")
    sizes = [os.path.getsize(tmp_path / "run.jsonl")]
    for _ in range(3):
        run.drive(1)
        recording.step()
        sizes.append(os.path.getsize(tmp_path / "run.jsonl"))
    recording.close()
    assert sizes == sorted(set(sizes))
