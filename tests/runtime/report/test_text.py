from __future__ import annotations

import json

from records import complete, killed, record, throttled, without_power

from runtime.report.compare import compare
from runtime.report.figures import figures
from runtime.report.gates import judge, parse_gate
from runtime.report.result import Report
from runtime.report.schema import RunRecord
from runtime.report.text import describe, to_json, to_markdown
from runtime.report.verdict import headline

HOSTILE = "a|b `c` [link](http://evil) <img src=x onerror=alert(1)>\n# title"


def report(run: RunRecord, *gates: str, other: RunRecord | None = None) -> Report:
    comparisons = compare(run, [("other.json", other)]) if other else []
    return Report("run.json", run, comparisons, judge(run, [parse_gate(text) for text in gates]))


def test_the_terminal_shows_the_sentence_first_then_the_reasons() -> None:
    lines = describe(report(complete(), "p99_ms>20", "fps<60")).splitlines()
    assert lines[0] == headline(complete())
    text = "\n".join(lines)
    for part in ("p99.9 17.6 ms", "longest 44.9 ms", "late 9, no free slot 3", "0.221 J above idle", "execute 7.61"):
        assert part in text
    assert lines[-2:] == [
        "passed: fail if p99_ms>20: p99_ms is 15.11",
        "FAILED: fail if fps<60: fps is 29.98",
    ]


def test_a_killed_run_is_marked_on_the_first_line() -> None:
    assert describe(report(killed())).startswith("! The end of this run was not recorded")
    assert "> **The end of this run was not recorded" in to_markdown(report(killed()))


def test_comparisons_are_tables_with_warnings() -> None:
    other = throttled(width=640)
    text = describe(report(complete(), other=other))
    assert "warning: size differs: 640x720 here, 1280x720 in the first run" in text
    assert "too little data: the difference is not steady" in text
    assert "below 0.05 a difference is told apart" in text
    marked = to_markdown(report(complete(), other=record(seed=5, slower=1.08)))
    (row,) = [line for line in marked.splitlines() if line.startswith("| latency p99, ms |")]
    assert row.endswith("| worse |")


def test_markdown_takes_hostile_names_as_text() -> None:
    text = to_markdown(report(complete(rig=HOSTILE, source=HOSTILE, remarks=[HOSTILE])))
    assert "<img" not in text.replace("\\<img", "")
    assert "[link]" not in text.replace("\\[link\\]", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| rig |")]
    assert row.replace("\\|", "").count("|") == 3


def test_markdown_has_stages_gates_and_the_command() -> None:
    text = to_markdown(report(without_power(), "w_mean>10"))
    assert text.startswith("## 30 fps, p99 15.1 ms, 17 misses in 600 s, power not measured;")
    assert "| execute | 7.61 | 7.64 | 8.51 |" in text
    assert "- FAILED: fail if w\\_mean\\>10: not measured" in text
    assert "    edgefusion run --rig rig.toml --fps 30 --precision int8 --record run.json" in text


def test_json_has_every_figure_by_the_name_that_gates_use() -> None:
    run, less = complete(), {"VDD_IN": 12_000.0, "VDD_CPU_GPU_CV": 6_100.0, "VDD_SOC": 2_900.0}
    other = record(seed=5, rails=less, width=640)
    found = json.loads(to_json(report(run, "p99_ms>1", "misses>100", other=other)))
    assert found["figures"] == figures(run)
    assert found["headline"] == headline(run)
    assert found["failed"] is True
    assert [gate["failed"] for gate in found["gates"]] == [True, False]
    row = found["comparisons"][0]["differences"]["w_mean"]
    assert row["verdict"] == "better"
    assert row["interval"][0] < row["difference"] < row["interval"][1]
    assert any("size differs" in warning for warning in found["comparisons"][0]["warnings"])


def test_json_says_what_was_not_measured_with_null() -> None:
    found = json.loads(to_json(report(without_power(), "j_per_frame>1")))
    assert found["figures"]["j_per_frame"] is None
    assert found["gates"] == [{"fail_if": "j_per_frame>1", "value": None, "failed": True, "measured": False}]
