from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")

from distill.teachers.likelihood import (  # noqa: E402
    Likelihood,
    Measurement,
    differences,
    divergence,
    parse_measurement,
    solve_screened_poisson,
)
from edgefusion.core.errors import UsageError  # noqa: E402


def test_a_measurement_is_read_from_one_line() -> None:
    assert parse_measurement("steepness=3") == Measurement(steepness=3.0)
    assert parse_measurement("iterations=1,selectivity=0") == Measurement(iterations=1, selectivity=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steep=3", "names: steepness, .*, iterations"),
        ("steepness", "steepness is a number, .* by default"),
        ("iterations=1.5", "iterations is a whole number, . by default"),
        ("iterations=0", "iterations 0; choose a number above 0"),
        ("gradient_noise=0", "gradient_noise 0.0"),
        ("steepness=nan", "steepness nan"),
        ("steepness=-1", "steepness -1.0; choose a number from 0"),
    ],
)
def test_a_measurement_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_measurement(text)


@pytest.mark.parametrize("shape", [(8, 8), (7, 12), (1, 5)])
def test_the_screened_poisson_equation_is_solved(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    wanted = torch.rand(2, 1, *shape, dtype=torch.float64)
    solved = solve_screened_poisson(wanted, 3.0, 50.0)
    assert torch.allclose(3 * solved + 50 * divergence(*differences(solved)), wanted, atol=1e-4)


def test_divergence_is_the_adjoint_of_differences() -> None:
    torch.manual_seed(0)
    image, right, down = torch.randn(3, 1, 1, 6, 9, dtype=torch.float64)[:, None].unbind()
    right[..., -1], down[..., -1, :] = 0, 0
    moved = differences(image)
    there = (moved[0] * right).sum() + (moved[1] * down).sum()
    assert torch.isclose(there, (image * divergence(right, down)).sum())


def test_equal_sources_are_the_fused_image() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 1, 16, 16)
    likelihood = Likelihood(image, image, Measurement())
    assert torch.allclose(likelihood.start(), image, atol=1e-3)
    assert torch.allclose(likelihood.rectify(torch.rand(1, 1, 16, 16), math.inf), image, atol=0.02)


def test_structure_of_either_source_is_kept_at_full_contrast() -> None:
    """An average of the two, as equal Laplace terms give it, would halve both edges."""
    visible, thermal = torch.full((2, 1, 1, 32, 32), 0.4).unbind()
    visible[..., :8], thermal[..., 24:, :] = 0.8, 0.9
    fused = Likelihood(visible, thermal, Measurement(iterations=8)).start()
    right, down = differences(fused)
    assert right[0, 0, 4, 7] == pytest.approx(-0.4, abs=0.05)
    assert down[0, 0, 23, 20] == pytest.approx(0.5, abs=0.05)


def test_a_sure_prior_is_left_alone_and_an_unsure_one_is_not() -> None:
    torch.manual_seed(0)
    visible, thermal, estimate = torch.rand(3, 1, 1, 16, 16).unbind()
    likelihood = Likelihood(visible, thermal, Measurement())
    moved = [(likelihood.rectify(estimate, variance) - estimate).abs().mean() for variance in (1e-6, 1e-3, 1e-1)]
    assert moved[0] < 0.05 < moved[1] < moved[2]
