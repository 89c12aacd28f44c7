from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")

from distill.signals import (  # noqa: E402
    LayerStatistics,
    feature_loss,
    gradient_loss,
    pixel_loss,
    pixel_weights,
    relative_variance,
    routing,
)


def layer(samples: torch.Tensor) -> LayerStatistics:
    """Of features [K, N, C, h, w]."""
    return LayerStatistics(samples.mean(dim=0), samples.var(dim=0, unbiased=False).mean(dim=1))


def features(*, spread: float, scale: float = 1.0, side: int = 4, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    common = torch.randn(1, 2, 6, side, side, generator=draw)
    return scale * (common + spread * torch.randn(8, 2, 6, side, side, generator=draw))


def test_pixel_weights_fall_with_variance_and_have_mean_one() -> None:
    variance = torch.linspace(0, 0.1, 64).reshape(1, 1, 8, 8)
    weights = pixel_weights(variance).flatten()
    assert (weights[1:] < weights[:-1]).all()
    assert weights.mean() == pytest.approx(1)
    assert weights[0] / weights[32] == pytest.approx(2, rel=0.02)  # none against the mean variance


@pytest.mark.parametrize("level", [0.0, 1e-6, 0.3])
def test_equal_variance_weighs_every_pixel_alike(level: float) -> None:
    assert torch.allclose(pixel_weights(torch.full((2, 1, 4, 4), level)), torch.ones(2, 1, 4, 4))


def test_pixel_loss_listens_less_where_samples_disagree() -> None:
    mean, weights = torch.zeros(1, 1, 2, 2), pixel_weights(torch.tensor([[[[0.0, 0.0], [0.0, 0.4]]]]))
    sure, unsure = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    sure[..., 0, 0] = unsure[..., 1, 1] = 1
    assert pixel_loss(sure, mean, weights) == pytest.approx(5 * float(pixel_loss(unsure, mean, weights)))
    even = torch.ones_like(mean)
    assert pixel_loss(sure, mean, even) == pixel_loss(unsure, mean, even) == 0.25


def test_gradient_loss_is_blind_to_level_and_listens_less_where_samples_disagree() -> None:
    mean, variance = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    variance[..., 2:, 2:] = 0.4
    weights, even = pixel_weights(variance), torch.ones_like(mean)
    assert gradient_loss(mean + 0.3, mean, weights) == 0
    sure, unsure = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    sure[..., 0, 0] = unsure[..., 3, 3] = 1  # a corner: one difference each way, of which the last begins in 2
    assert gradient_loss(sure, mean, weights) == pytest.approx(5 * float(gradient_loss(unsure, mean, weights)))
    assert gradient_loss(sure, mean, even) == gradient_loss(unsure, mean, even) == pytest.approx(1 / 12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_relative_variance_knows_no_scale(scale: float) -> None:
    whole, scaled = (relative_variance(layer(features(spread=0.5, scale=by))) for by in (1.0, scale))
    assert torch.allclose(whole, scaled, rtol=1e-3)


def test_relative_variance_is_zero_for_equal_samples_and_one_for_unrelated_ones() -> None:
    assert relative_variance(layer(features(spread=0.0))).abs().max() < 1e-9
    unrelated = torch.randn(512, 1, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    assert relative_variance(layer(unrelated)).mean() == pytest.approx(1, abs=0.01)


def test_routing_prefers_the_layer_that_is_sure() -> None:
    layers = [layer(features(spread=0.1)), layer(features(spread=2.0, side=2))]
    routes = routing(layers, tau=0.5, grid=(4, 4))
    assert routes.shape == (2, 2, 4, 4)
    assert torch.allclose(routes.sum(dim=1), torch.ones(2, 4, 4))
    assert (routes[:, 0] > routes[:, 1]).all()
    assert (routing(layers, tau=1e3, grid=(4, 4)) - 0.5).abs().max() < 1e-3


def test_feature_loss_is_zero_for_the_mean_and_blind_to_its_length() -> None:
    layers = [layer(features(spread=0.5)), layer(features(spread=1.0, side=8, seed=1))]
    routes = routing(layers, tau=1.0, grid=(4, 4))
    assert feature_loss([each.mean for each in layers], layers, routes).abs() < 1e-6
    assert feature_loss([3 * each.mean for each in layers], layers, routes).abs() < 1e-6
    assert feature_loss([-each.mean for each in layers], layers, routes) == pytest.approx(2, abs=1e-5)
    assert feature_loss([-each.mean for each in layers], layers, None) == pytest.approx(2, abs=1e-5)


def test_a_layer_that_is_not_sure_counts_less() -> None:
    layers = [layer(features(spread=0.05)), layer(features(spread=3.0, seed=1))]
    routes = routing(layers, tau=0.25, grid=(4, 4))
    sure_wrong = feature_loss([-layers[0].mean, layers[1].mean], layers, routes)
    unsure_wrong = feature_loss([layers[0].mean, -layers[1].mean], layers, routes)
    assert sure_wrong > 5 * unsure_wrong
