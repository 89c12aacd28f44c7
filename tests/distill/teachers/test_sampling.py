from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from distill.teachers import open_teacher  # noqa: E402
from distill.teachers.denoiser import Denoiser  # noqa: E402
from distill.teachers.likelihood import Measurement  # noqa: E402
from distill.teachers.samples import TARGET  # noqa: E402
from distill.teachers.sampling import Noise, Sampling, sample_seed, tiled  # noqa: E402
from edgefusion.core.errors import InputError, UsageError  # noqa: E402

Write = Callable[..., Path]


class Blur(torch.nn.Module):
    """A network that sees three pixels each way, so that tiles can be compared exactly."""

    def __init__(self) -> None:
        super().__init__()
        from types import SimpleNamespace

        self.config = SimpleNamespace(in_channels=1, out_channels=1, block_out_channels=(1,))
        self.conv = torch.nn.Conv2d(1, 1, 7, padding=3, bias=False)

    def forward(self, x: Any, steps: Any) -> Any:
        from types import SimpleNamespace

        return SimpleNamespace(sample=self.conv(x))


def pair(*shape: int) -> tuple[Any, Any]:
    torch.manual_seed(1)
    visible, thermal = torch.rand(2, *shape).unbind()
    return visible, thermal


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver"])
@pytest.mark.parametrize("start", [0.4, 1.0])
def test_samples_differ_by_seed_and_by_nothing_else(checkpoint: Write, scheduler: str, start: float) -> None:
    teacher = open_teacher(str(checkpoint()), Sampling(scheduler=scheduler, steps=4, start=start))
    visible, thermal = pair(3, 1, 24, 20)
    together = teacher.draw(visible, thermal, [5, 6, 7])
    alone = teacher.draw(visible[1:2], thermal[1:2], [6])
    assert torch.allclose(together[1:2], alone, atol=1e-3)
    assert (alone - teacher.draw(visible[1:2], thermal[1:2], [8])).abs().mean() > 0.01
    assert together.min() >= 0
    assert together.max() <= 1


def test_seeds_are_of_pair_sample_and_run() -> None:
    seeds = {sample_seed(pair, k, seed) for pair in ("a", "b") for k in (0, 1) for seed in (0, 1)}
    assert len(seeds) == 8
    assert sample_seed("a", 0, 0) == sample_seed("a", 0, 0)
    assert max(seeds) < 2**63


def test_noise_is_one_stream_per_sample() -> None:
    both, one = Noise([3, 4], (1, 8, 8), torch.device("cpu")), Noise([4], (1, 8, 8), torch.device("cpu"))
    for _ in range(3):
        assert torch.equal(both.field()[1:], one.field())


def test_the_measurement_is_followed(checkpoint: Write) -> None:
    """Even an untrained prior cannot keep samples from showing the edges that either source has."""
    visible, thermal = torch.full((2, 1, 1, 32, 32), 0.3).unbind()
    visible[..., 16:], thermal[..., 16:, :] = 0.7, 0.7
    fused = open_teacher(str(checkpoint()), Sampling(steps=6)).draw(visible, thermal, [1])[0, 0]
    assert fused[4:12, 20:].mean() - fused[4:12, :12].mean() > 0.2
    assert fused[20:, 4:12].mean() - fused[:12, 4:12].mean() > 0.2


def test_tiles_give_what_the_whole_gives_where_the_network_sees_no_further() -> None:
    from distill.teachers import prior

    torch.manual_seed(0)
    denoiser = Denoiser(Blur(), prior.schedule())
    noisy = torch.randn(2, 1, 70, 50)
    with torch.no_grad():
        whole = tiled(denoiser, noisy, 100, Sampling(tile_px=128))
        parts = tiled(denoiser, noisy, 100, Sampling(tile_px=32, overlap_px=16))
    border = 3 / 17  # three pixels of a tile's rim see its padding, with at most this weight
    assert torch.allclose(whole, parts, atol=border)
    assert (whole - parts).abs().median() < 1e-6


def test_tiles_leave_no_seam(checkpoint: Write) -> None:
    visible, thermal = pair(1, 1, 96, 96)
    sampling = Sampling(steps=3, tile_px=48, overlap_px=24)
    fused = open_teacher(str(checkpoint()), sampling).draw(visible, thermal, [2])[0, 0]
    steps = (fused[:, 1:] - fused[:, :-1]).abs().mean(dim=0)
    assert steps.max() < 1.5 * steps.median()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_changes_little(checkpoint: Write, precision: str) -> None:
    visible, thermal = pair(1, 1, 32, 32)
    exact, half = (
        open_teacher(str(checkpoint()), Sampling(steps=3, precision=name)).draw(visible, thermal, [2])
        for name in ("no", precision)
    )
    assert 0 < (exact - half).abs().max() < 0.1


def test_a_conditional_network_of_unknown_training_is_refused(checkpoint: Write) -> None:
    folder = checkpoint(conditions=2, manifest={"kind": "conditional", "target": "outputs of another fuser"})
    with pytest.raises(InputError, match="not trained on posterior samples"):
        open_teacher(str(folder))


def test_a_conditional_teacher_takes_no_measurement(checkpoint: Write) -> None:
    folder = checkpoint(conditions=2, manifest={"kind": "conditional", "target": f"conditional: {TARGET}"})
    with pytest.raises(UsageError, match="leave --measure out"):
        open_teacher(str(folder), measurement=Measurement())


@pytest.mark.parametrize(
    "wrong", [{"scheduler": "euler"}, {"precision": "int8"}, {"start": 0.0}, {"eta": 1.5}, {"overlap_px": 256}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Sampling(**wrong)
