from __future__ import annotations

from pathlib import Path

import pytest
from journals import Rehearsal

from edgefusion.core.errors import InputError
from runtime.journal.compact import compact, write_record
from runtime.journal.load import load_record


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
