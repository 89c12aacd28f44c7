"""Energy between marks, from readings made up."""

from __future__ import annotations

import pytest

from runtime.power.base import Reading
from runtime.power.integral import Integral

SECOND = 1_000_000_000


def integrate(readings: list[tuple[float, dict[str, float]]], begin_s: float, end_s: float, averages=False) -> Integral:
    integral = Integral(int(begin_s * SECOND), averages=averages)
    for at_s, mw in readings:
        integral.add(Reading(int(at_s * SECOND), mw), 1.0, int(end_s * SECOND))
    return integral


def ramp(*seconds: float) -> list[tuple[float, dict[str, float]]]:
    return [(at_s, {"A": 100.0 * at_s}) for at_s in seconds]


def test_edges_are_interpolated() -> None:
    integral = integrate(ramp(0, 1, 2, 3, 4), 0.5, 3.25)
    assert integral.tracks["A"].mj == pytest.approx(100 / 2 * (3.25**2 - 0.5**2))
    assert integral.tracks["A"].covered_ns == int(2.75 * SECOND)
    assert (integral.tracks["A"].least, integral.tracks["A"].most) == pytest.approx((50, 325))
    assert (integral.samples, integral.missed) == (3, 0)


def test_readings_that_fail_are_counted_and_a_short_gap_is_bridged() -> None:
    readings = [(0, {"A": 10.0}), (1, {}), (2, {"A": 10.0}), (3, {"A": 10.0})]
    integral = integrate(readings, 0, 3)
    assert (integral.tracks["A"].mj, integral.samples, integral.missed) == (30, 3, 1)


def test_a_long_gap_is_not_covered() -> None:
    integral = integrate(ramp(0, 1, 6, 7), 0, 7)
    assert integral.tracks["A"].covered_ns == 2 * SECOND
    assert integral.tracks["A"].mj == pytest.approx(50 + 650)
    assert integral.missed == 4


def test_means_count_for_the_time_before_them_and_know_no_gap() -> None:
    integral = integrate([(0, {}), (1, {"A": 10.0}), (6, {"A": 2.0}), (7, {"A": 50.0})], 0, 6.5, averages=True)
    assert integral.tracks["A"].mj == pytest.approx(5 * 2 + 0.5 * 50)


def test_one_reading_spans_nothing() -> None:
    assert integrate(ramp(1), 0, 2).tracks == {}
