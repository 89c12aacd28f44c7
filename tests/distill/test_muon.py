from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")

from distill.muon import BIAS_SHARE, Muon, orthogonal  # noqa: E402


@pytest.mark.parametrize("shape", [(32, 288), (288, 32), (16, 16)])
def test_an_orthogonal_matrix_keeps_directions_and_evens_their_sizes(shape: tuple[int, int]) -> None:
    left, sizes, right = torch.linalg.svd(
        torch.randn(*shape, generator=torch.Generator().manual_seed(0)), full_matrices=False
    )
    uneven = left @ torch.diag(torch.logspace(0, -1.5, len(sizes))) @ right
    even = orthogonal(uneven)
    assert ((left.T @ even @ right.T).diagonal() > 0.6).all()
    assert (torch.linalg.svdvals(even) < 1.25).all()


def test_no_gradient_is_no_step() -> None:
    weight = torch.nn.Parameter(torch.ones(4, 4))
    untouched = torch.nn.Parameter(torch.ones(4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight, untouched], lr=0.1).step()
    assert torch.equal(weight, torch.ones(4, 4))
    assert torch.equal(untouched, torch.ones(4))


def test_the_rate_is_the_size_of_a_step_whatever_the_gradients() -> None:
    weight, bias = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((8, 4, 3, 3), (8,)))
    optimiser = Muon([weight, bias], lr=0.01)
    for scale in (1e-3, 1e3):
        before = weight.detach().clone(), bias.detach().clone()
        weight.grad, bias.grad = (scale * torch.randn(tensor.shape) for tensor in (weight, bias))
        optimiser.state.clear()
        optimiser.step()
        step = (weight - before[0]).detach().flatten(1)
        assert float(torch.linalg.matrix_norm(step, 2)) == pytest.approx(0.01, rel=0.3)
        assert float((bias - before[1]).detach().abs().max()) == pytest.approx(BIAS_SHARE * 0.01, rel=0.01)


def test_what_hardly_shows_in_the_gradient_is_learnt_too() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(512, 8) * torch.logspace(0, -2, 8)  # the last direction is a hundredth of the first
    wanted = inputs @ torch.randn(8, 8)

    def after(optimiser_of: type) -> float:
        layer = torch.nn.Linear(8, 8, bias=False)
        optimiser = optimiser_of(layer.parameters(), lr=0.02)
        for _ in range(150):
            optimiser.zero_grad()
            (layer(inputs) - wanted).square().mean().backward()
            optimiser.step()
        return float((layer(inputs) - wanted).detach().square().mean())

    assert after(Muon) < 0.5 * after(torch.optim.SGD)
