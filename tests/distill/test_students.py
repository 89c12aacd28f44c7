from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")

from distill.students.proxy import WIDTHS, Proxy  # noqa: E402


def shaken(arch: str) -> Proxy:
    """A student away from its first state, where some branches are zero."""
    torch.manual_seed(1)
    student = Proxy(arch).eval()
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return student


@pytest.mark.parametrize("arch", WIDTHS)
def test_folding_branches_changes_nothing(arch: str) -> None:
    student = shaken(arch)
    x = torch.rand(2, 32, 12, 16)
    with torch.no_grad():
        before, after = student(x), student.fold()(x)
    assert (before - after).abs().max() < 1e-5
    assert before.std() > 0.05


@pytest.mark.parametrize("arch", WIDTHS)
def test_an_untrained_student_takes_the_brighter_source(arch: str) -> None:
    x = torch.rand(1, 32, 8, 8)
    with torch.no_grad():
        y = Proxy(arch)(x)
    apart = (x[:, :16] - x[:, 16:]).abs() > 0.4
    brighter = torch.maximum(x[:, :16], x[:, 16:])
    assert (y - brighter)[apart].abs().max() < 0.03


def test_output_stays_within_0_and_1() -> None:
    y = shaken("proxy-nano")(torch.rand(1, 32, 8, 8) * 2)
    assert 0 <= y.min() <= y.max() <= 1


@pytest.mark.parametrize("arch", WIDTHS)
def test_every_layer_fills_tensor_cores(arch: str) -> None:
    for parameter in Proxy(arch).fold().parameters():
        assert parameter.shape[0] % 16 == 0
