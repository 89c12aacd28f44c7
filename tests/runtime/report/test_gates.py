from __future__ import annotations

import pytest
from records import complete, without_power

from edgefusion.core.errors import UsageError
from runtime.report.figures import FIGURES, figures
from runtime.report.gates import judge, parse_gate

RUN = complete()


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("p99_ms>20", False),
        ("p99_ms > 10", True),
        ("fps<30.5", True),
        ("fps < 25", False),
        ("misses >= 17", True),
        ("misses<=16", False),
        ("copies_per_frame==1", True),
        ("copies_per_frame == 0", False),
        ("j_per_frame>0.3", True),
        ("w_mean>100", False),
        ("temp_max_c>=95", False),
        ("execute_p99_ms>1e1", False),
        ("dropped>-1", True),
    ],
)
def test_a_condition_that_holds_fails(text: str, failed: bool) -> None:
    (result,) = judge(RUN, [parse_gate(text)])
    assert result.failed == failed
    assert str(result).startswith("FAILED" if failed else "passed")


@pytest.mark.parametrize("text", ["", "p99_ms", "p99_ms>", ">20", "p99_ms=20", "p99_ms>20ms", "p99_ms>nan", "a>1>2"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a condition"):
        parse_gate(text)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="no figure is called 'p98_ms'") as caught:
        judge(RUN, [parse_gate("p98_ms>1")])
    assert "p99_9_ms" in str(caught.value)
    assert "execute_p50_ms" in str(caught.value)


@pytest.mark.parametrize("text", ["j_per_frame>1000", "j_per_frame<1000"])
def test_what_was_not_measured_fails_whatever_the_limit(text: str) -> None:
    (result,) = judge(without_power(), [parse_gate(text)])
    assert result.failed
    assert str(result) == f"FAILED: fail if {text}: not measured"


def test_misses_without_a_deadline_are_not_measured() -> None:
    (result,) = judge(complete(deadline_ms=None), [parse_gate("misses>0")])
    assert result.value is None


def test_figures_have_one_name_each_and_agree_with_the_record() -> None:
    names = [figure.name for figure in FIGURES]
    assert len(set(names)) == len(names)
    found = figures(RUN)
    assert RUN.energy
    assert found["j_per_frame"] == pytest.approx(RUN.energy.gross_mj / 1e3)
    assert found["w_mean"] == pytest.approx(RUN.meters[0].rails[0].mean_mw / 1e3)
    assert found["dropped"] == sum(RUN.counts.dropped.values())
    assert found["throttled"] == 0
    assert found["resident_mb"] == pytest.approx(414.9, abs=0.2)
