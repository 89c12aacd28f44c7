"""Intervals, ranks and tests against what SciPy and a pencil say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from edgefusion.metrics.resampling import draw_counts, holm
from runtime.evaluate.statistics import block_means, bootstrap, paired_p, ranks


def test_the_interval_is_that_of_scipys_percentile_bootstrap() -> None:
    figures = np.random.default_rng(0).gamma(2.0, 3.0, (60, 3))
    mean, low, high = bootstrap(figures, seed=1)
    for column in range(3):
        theirs = stats.bootstrap((figures[:, column],), np.mean, n_resamples=20_000, method="percentile", rng=2)
        width = theirs.confidence_interval.high - theirs.confidence_interval.low
        assert mean[column] == pytest.approx(figures[:, column].mean())
        assert low[column] == pytest.approx(theirs.confidence_interval.low, abs=0.05 * width)
        assert high[column] == pytest.approx(theirs.confidence_interval.high, abs=0.05 * width)


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    columns = np.random.default_rng(3).exponential(5.0, (80, 1000))
    _, low, high = bootstrap(columns, seed=0, resamples=1000)
    assert 0.91 <= ((low <= 5) & (high >= 5)).mean() <= 0.97


def test_a_seed_gives_the_same_interval_again() -> None:
    figures = np.random.default_rng(0).normal(size=(20, 2))
    first, again, other = (bootstrap(figures, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("figures", [np.array([[3.25]]), np.full((12, 1), 3.25)])
def test_one_pair_or_equal_figures_have_no_width(figures: np.ndarray) -> None:
    assert [float(part[0]) for part in bootstrap(figures, seed=0)] == [3.25, 3.25, 3.25]


def test_places_share_the_better_one_and_fewer_artefacts_are_better() -> None:
    means = np.array([[7.0, 0.2], [7.0, 0.0], [6.0, 0.1]])
    assert ranks(means, lower_is_better=[False, True]).tolist() == [[1, 3], [1, 1], [3, 2]]


def test_no_difference_is_no_evidence() -> None:
    figures = np.random.default_rng(0).normal(size=30)
    assert paired_p(figures, figures) == 1.0
    assert paired_p(np.array([1.0]), np.array([2.0])) == 1.0


@pytest.mark.parametrize("pairs", [6, 39, 200])
def test_the_test_is_wilcoxons_without_the_pairs_that_do_not_differ(pairs: int) -> None:
    draw = np.random.default_rng(pairs)
    figures, moved = draw.normal(size=pairs), draw.normal(0.3, 1, pairs)
    same = np.zeros(10)
    expected = stats.wilcoxon(moved).pvalue
    assert paired_p(np.r_[figures + moved, same], np.r_[figures, same]) == pytest.approx(expected, rel=1e-6)


def test_a_clear_difference_shows_and_noise_does_not() -> None:
    draw = np.random.default_rng(5)
    figures = draw.normal(size=50)
    assert paired_p(figures + 0.1, figures + draw.normal(0, 0.05, 50)) < 1e-6
    noise = [paired_p(figures + draw.normal(size=50), figures) for _ in range(400)]
    assert 0.02 <= np.mean(np.array(noise) < 0.05) <= 0.09


def test_several_tests_are_corrected_by_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def frames(clips: int, count: int = 300, memory: float = 0.9) -> np.ndarray:
    """Figures [frames, clips] about 5, each frame's like the one before: of a memory of 1 / (1 - memory) frames."""
    draw = np.random.default_rng(1)
    found = np.empty((count, clips))
    found[0] = draw.normal(size=clips)
    for number in range(1, count):
        found[number] = memory * found[number - 1] + np.sqrt(1 - memory**2) * draw.normal(size=clips)
    return found + 5


def test_of_frames_only_intervals_over_blocks_hold_the_truth() -> None:
    figures = frames(400)

    def held(block: int) -> float:
        _, low, high = bootstrap(figures, seed=0, resamples=400, block=block)
        return float(((low <= 5) & (high >= 5)).mean())

    assert held(1) < 0.5
    assert held(30) > 0.75


def test_of_frames_only_tests_of_block_means_are_seldom_fooled() -> None:
    figures = frames(200)

    def fooled(block: int) -> float:
        p_values = [paired_p(block_means(column, block), np.full(1, 5.0)) for column in figures.T]
        return float(np.mean(np.array(p_values) < 0.05))

    assert fooled(1) > 0.4
    assert fooled(30) < 0.2


def test_block_means_are_means_of_frames_in_a_row() -> None:
    assert block_means(np.arange(10.0), 2).tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert block_means(np.arange(9.0), 2).tolist() == [0.5, 2.5, 4.5, 6.5, 8.0]
    assert block_means(np.arange(4.0), 30).tolist() == [0, 1, 2, 3]  # a quarter of so short a clip


def test_each_frame_counts_alike_in_blocks() -> None:
    draw = np.random.default_rng(0)
    counts = np.mean([draw_counts(draw, 20, 6) for _ in range(4000)], axis=0)
    assert counts == pytest.approx(np.ones(20), abs=0.08)
    assert {int(draw_counts(draw, 20, 6).sum()) for _ in range(20)} == {20}
