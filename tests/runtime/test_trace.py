from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lanes import Run, pairs
from little_disk import full_disk
from live_rigs import Live
from rig_files import write_rig
from waiting import until

from edgefusion.core.errors import MachineError
from edgefusion.core.frames import FusedInfo
from runtime.gauges import Gauges
from runtime.pipeline.turn import Turn
from runtime.trace import Trace

Event = dict[str, Any]

FIELDS = {
    "X": {"name", "cat", "pid", "tid", "ts", "dur"},
    "b": {"name", "cat", "id", "pid", "tid", "ts"},
    "e": {"name", "cat", "id", "pid", "tid", "ts"},
    "s": {"name", "cat", "id", "pid", "tid", "ts"},
    "f": {"name", "cat", "id", "pid", "tid", "ts", "bp"},
    "C": {"name", "pid", "ts", "args"},
    "M": {"name", "pid", "tid", "args"},
    "i": {"name", "pid", "tid", "ts", "s"},
}
"""Phase -> what the Trace Event Format asks of it."""


def check_format(events: list[Event]) -> None:
    """What the Trace Event Format says of every kind of event that we write."""
    for event in events:
        assert FIELDS[event["ph"]] <= set(event), event
        assert event.get("ts", 0) >= 0, event
        assert event.get("dur", 0) >= 0, event
        if event["ph"] == "C":
            assert all(isinstance(value, (int, float)) for value in event["args"].values()), event
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name"), event
    for begin, end in (("b", "e"), ("s", "f")):
        opened, closed = ({event["id"]: event for event in of(events, phase)} for phase in (begin, end))
        assert opened.keys() == closed.keys()
        assert len(opened) == len(of(events, begin))
        for number, event in opened.items():
            assert (event["name"], event["cat"]) == (closed[number]["name"], closed[number]["cat"])
            assert event["ts"] <= closed[number]["ts"]


def of(events: list[Event], phase: str, name: str = "") -> list[Event]:
    return [event for event in events if event["ph"] == phase and name in event["name"]]


def ns(us: float) -> int:
    return round(us * 1e3)


def span(event: Event) -> tuple[int, int]:
    return ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])


def check_nesting(events: list[Event]) -> None:
    """Slices of a track lie beside or inside one another, as viewers demand."""
    tracks = defaultdict(list)
    for event in of(events, "X"):
        tracks[event["tid"]].append(span(event))
    for spans in tracks.values():
        open_until: list[int] = []
        for begin, end in sorted(spans, key=lambda each: (each[0], -each[1])):
            while open_until and open_until[-1] <= begin:
                open_until.pop()
            assert not open_until or end <= open_until[-1]
            open_until.append(end)


def inside(events: list[Event], outer: Event) -> list[Event]:
    first, last = span(outer)
    return [
        each
        for each in of(events, "X")
        if each is not outer and each["tid"] == outer["tid"] and first <= span(each)[0] and span(each)[1] <= last
    ]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], Live, list[Turn]]:
    """A trace of a live rig, the run that left it, and the times that the lane told."""
    path, turns = tmp_path_factory.mktemp("trace") / "trace.json", []
    readings = Gauges(
        power_mw={"hwmon/VDD_IN": 5250.0}, temperatures_c={"gpu": 41.5}, clocks_mhz={"gpu": 918.0}, fan_rpm=1850.0
    )
    with Trace(path, gauges=lambda: readings) as trace:
        traced = trace.rig("front", since="exposure")

        def timed(turn: Turn) -> None:
            turns.append(turn)
            traced.timed(turn)

        run = Live(until=lambda run: len(run.flags) >= 40, timed=timed)
        run.rig.tell(traced.arrived)
        run.go()
    return json.loads(path.read_text()), run, turns


def test_a_trace_is_what_the_format_says(live) -> None:
    events, _, _ = live
    check_format(events)
    check_nesting(events)
    assert {event["args"]["name"] for event in of(events, "M")} == {
        "edgefusion", "front", "front visible camera", "front thermal camera",
    }  # fmt: skip


def test_every_frame_has_its_stages_and_they_add_up_to_what_the_record_counts(live) -> None:
    events, run, turns = live
    frames = of(events, "X", "frame")
    assert [frame["args"]["frame_id"] for frame in frames] == list(range(run.lane.statistics.frames))
    for frame, turn in zip(frames, turns, strict=True):
        parts = {part["name"]: span(part)[1] - span(part)[0] for part in inside(events, frame)}
        assert set(parts) == {"pack", "execute", "unpack", "publish", "sink"}
        _, pack, execute, unpack, sink = turn.stages_ns
        assert (parts["pack"], parts["execute"], parts["unpack"]) == (pack, execute, unpack)
        assert parts["publish"] + parts["sink"] == sink
    sources = [span(source)[1] - span(source)[0] for source in of(events, "X", "source")]
    assert sources == [turn.stages_ns[0] for turn in turns]


def test_latency_is_a_slice_beside_the_tracks_for_each_frame(live) -> None:
    events, _, turns = live
    begins, ends = of(events, "b"), of(events, "e")
    found = [ns(end["ts"]) - ns(begin["ts"]) for begin, end in zip(begins, ends, strict=True)]
    assert found == [turn.published_ns - turn.exposure_ns for turn in turns]
    assert {event["name"] for event in begins} == {"front: exposure to published"}


def test_arrows_lead_from_both_arrivals_into_the_frame_made_of_them(live) -> None:
    events, run, turns = live
    names = {event["tid"]: event["args"]["name"] for event in of(events, "M")}
    ends = {event["id"]: event for event in of(events, "f")}
    by_frame: dict[int, set[str]] = defaultdict(set)
    for start in of(events, "s"):
        (arrival,) = [each for each in of(events, "X") if each["tid"] == start["tid"] and each["ts"] == start["ts"]]
        end = ends[start["id"]]
        (frame,) = [each for each in of(events, "X", "frame") if span(each)[0] <= ns(end["ts"]) <= span(each)[1]]
        side, sequence = arrival["name"].split()
        assert names[start["tid"]] == f"front {side} camera"
        assert frame["args"][side] == int(sequence)
        by_frame[frame["args"]["frame_id"]].add(side)
    assert by_frame == {turn.info.frame_id: {"visible", "thermal"} for turn in turns}
    arrived = run.rig.status()["cameras"]["visible"]["frames"]
    assert len(of(events, "X", "visible ")) == arrived


def test_what_the_machine_reads_off_is_drawn_and_nothing_else(live, tmp_path: Path) -> None:
    events, _, _ = live
    assert {event["name"]: event["args"] for event in of(events, "C")} == {
        "power (W)": {"hwmon/VDD_IN": 5.25}, "temperature (C)": {"gpu": 41.5}, "clock (MHz)": {"gpu": 918.0},
        "fan (rpm)": {"fastest": 1850.0},
    }  # fmt: skip
    with Trace(path := tmp_path / "trace.json"):
        pass
    assert of(json.loads(path.read_text()), "C") == []


def test_a_recording_has_its_arrows_from_the_source(tmp_path: Path) -> None:
    with Trace(path := tmp_path / "trace.json") as trace:
        Run(pairs(3), timed=trace.rig("test", since="receive").timed).go()
    check_format(events := json.loads(path.read_text()))
    sources = {event["ts"] for event in of(events, "X", "source")}
    assert [start["ts"] in sources for start in of(events, "s")] == [True] * 3
    assert [frame["args"]["pair"] for frame in of(events, "X", "frame")] == ["000", "001", "002"]


def turn_at(start_ns: int) -> Turn:
    return Turn(FusedInfo(0, 0, "monotonic", 0, 0), start_ns, *(start_ns + 1000 * step for step in range(1, 10)))


def test_a_trace_that_grows_too_large_ends_and_can_be_read(tmp_path: Path) -> None:
    with Trace(path := tmp_path / "trace.json", largest=20_000) as trace:
        rig = trace.rig("front", since="exposure")
        for start in range(300):
            rig.timed(turn_at(start * 100_000))
            time.sleep(0.002)
    check_format(json.loads(path.read_text()))
    assert path.stat().st_size <= 20_000


def test_names_need_not_be_plain(tmp_path: Path) -> None:
    with Trace(path := tmp_path / "trace.json") as trace:
        trace.rig('the "front" rig\\', since="exposure").timed(turn_at(1_000_000))
    check_format(events := json.loads(path.read_text()))
    assert of(events, "b")[0]["name"] == 'the "front" rig\\: exposure to published'


def test_a_full_disk_ends_the_trace_and_not_the_run() -> None:
    with Trace(Path("/dev/full")) as trace:
        trace.rig("front", since="exposure").timed(turn_at(1_000_000))


def test_a_disk_that_takes_half_of_an_event_leaves_whole_ones(tmp_path: Path) -> None:
    with ExitStack() as stack, Trace(path := tmp_path / "trace.json") as trace:
        stack.enter_context(full_disk(path, room=100))  # until the trace has ended
        trace.rig("front", since="exposure").timed(turn_at(1_000_000))
    check_format(events := json.loads(path.read_text() + "]"))
    assert [event["args"]["name"] for event in events] == ["edgefusion"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="cannot write"), Trace(tmp_path):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_trace_of_a_run_that_was_ended_can_be_loaded(tmp_path: Path, number: int) -> None:
    rig = write_rig(tmp_path / "rig.toml")
    words = [sys.executable, "-m", "edgefusion.cli", "run", "--precision", "fp32", "--rig", str(rig)]
    path = tmp_path / "trace.json"
    with subprocess.Popen([*words, "--trace", str(path)], env=os.environ) as process:
        until(lambda: path.exists() and path.read_text().count('"name":"frame","cat":"stage"') > 20, process=process)
        process.send_signal(number)
    text = path.read_text()
    assert text.endswith("]\n") == (number == signal.SIGTERM)
    check_format(events := json.loads(text if number == signal.SIGTERM else text + "]"))
    check_nesting(events)
    assert len(of(events, "X", "frame")) > 20
