"""An approach: always the same for a seed, always in the way, and seen where it truly is."""

from __future__ import annotations

import numpy as np
import pytest

from edgefusion.core.errors import UsageError
from runtime.capture.approach import LEAD_S, Approach
from runtime.capture.simulated import SimulatedRig

SPEED_MPS = 30 / 3.6


def small(seed: int, fog: float = 0.0, *, pedestrian: bool = True, speed_mps: float = SPEED_MPS) -> Approach:
    rig = SimulatedRig(seed=seed, visible_size_px=(320, 240), thermal_size_px=(160, 128), fps=10, fog=fog)
    return Approach(rig, speed_mps, pedestrian=pedestrian)


def test_an_approach_is_the_same_every_time() -> None:
    first, again = small(4).render(2.0, 15.0), small(4).render(2.0, 15.0)
    assert np.array_equal(first.visible.pixels, again.visible.pixels)
    assert np.array_equal(first.thermal.pixels, again.thermal.pixels)
    assert (first.visible.timestamp_ns, first.visible.sequence) == (2_000_000_000, 20)


def test_nine_seeds_show_each_manner_in_each_zone() -> None:
    assert len({(small(seed).zone, small(seed).manner) for seed in range(27, 36)}) == 9


@pytest.mark.parametrize("speed_mps", [4.0, SPEED_MPS, 14.0])
def test_who_never_brakes_hits_the_pedestrian(speed_mps: float) -> None:
    for seed in range(36):
        approach = small(seed, speed_mps=speed_mps)
        assert approach.gap_m(LEAD_S, speed_mps * LEAD_S) == pytest.approx(0, abs=1e-6)
        assert approach.in_path(LEAD_S)
        times = np.arange(0, LEAD_S, 0.01)
        assert (approach.gap_m(times, speed_mps * times) > 0).all()


def test_the_pedestrian_is_seen_until_the_end_at_their_distance() -> None:
    for seed in range(9):
        approach = small(seed)
        for time_s in (3.5, LEAD_S - 0.05):
            box = approach.pedestrian_box(time_s, SPEED_MPS * time_s)
            assert box is not None
            assert box.label == "person"
            gap = approach.gap_m(time_s, SPEED_MPS * time_s)
            assert box.distance_m == pytest.approx(gap + 1.6)


def test_without_the_pedestrian_nothing_else_changes() -> None:
    for seed in range(9):
        one, other = small(seed), small(seed, pedestrian=False)
        there = {box.identity for box in one.boxes(3.0, 20.0)}
        alone = {box.identity: box for box in other.boxes(3.0, 20.0)}
        pedestrian = one.pedestrian_box(3.0, 20.0)
        assert pedestrian is not None
        assert other.pedestrian_box(3.0, 20.0) is None
        assert there - alone.keys() == {pedestrian.identity}
        assert one.gap_m(3.0, 20.0) == other.gap_m(3.0, 20.0)


def test_nobody_else_is_in_the_lane() -> None:
    """In every lane of an approach: the road below each box that is near enough to be placed."""
    for seed in range(18):
        approach = small(seed, pedestrian=False)
        for time_s in (0.0, 1.5, 3.0, 4.4):
            travelled_m = SPEED_MPS * time_s
            for box in approach.boxes(time_s, travelled_m):
                if box.distance_m < 35 and box.y1 < 239 and box.x0 > 0 and box.x1 < 319:
                    ((right, _),) = approach.on_road([((box.x0 + box.x1) / 2, box.y1)], travelled_m)
                    assert abs(right) > 1.75, (seed, time_s, box)


def test_feet_are_on_the_road_where_they_truly_are() -> None:
    for seed in range(9):
        approach = Approach(SimulatedRig(seed=seed))
        for time_s in (0.5, 2.0, 3.5):
            travelled_m = approach.speed_mps * time_s
            box = approach.pedestrian_box(time_s, travelled_m)
            if box is None or box.visibility < 0.95:
                continue
            ((_, ahead),) = approach.on_road([((box.x0 + box.x1) / 2, box.y1)], travelled_m)
            # Feet stand half a step nearer than the middle of a walker.
            assert ahead == pytest.approx(approach.gap_m(time_s, travelled_m), rel=0.12, abs=0.7)


def test_the_sky_is_nowhere_on_the_road() -> None:
    assert np.isinf(small(0).on_road([(100, 0), (0, 20)], 0.0)[:, 1]).all()


def test_the_vehicle_decides_where_it_is() -> None:
    """Standing, it sees the pedestrian from where it stands; driving on, from nearer, and larger."""
    approach = small(5)
    far, near = approach.pedestrian_box(3.0, 10.0), approach.pedestrian_box(3.0, 20.0)
    assert far is not None
    assert near is not None
    assert far.distance_m - near.distance_m == pytest.approx(10)
    assert near.y1 - near.y0 > 1.3 * (far.y1 - far.y0)


def test_fog_hides_but_changes_nobody() -> None:
    assert small(3, fog=0.5).boxes(2.0, 15.0) == small(3).boxes(2.0, 15.0)


@pytest.mark.parametrize("speed_mps", [0.0, -3.0, 20.1, float("nan")])
def test_a_speed_out_of_range(speed_mps: float) -> None:
    with pytest.raises(UsageError, match="m/s"):
        small(0, speed_mps=speed_mps)
