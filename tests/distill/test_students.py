from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from students import ARCHS, LITE, PROXIES, RESNET, packaged, shaken, spec, weights

torch = pytest.importorskip("torch", reason="torch comes with [train]")
timm = pytest.importorskip("timm", reason="timm comes with [train]")

from safetensors.torch import load_file, save_file  # noqa: E402
from timm.models import build_model_with_cfg, register_model  # noqa: E402

from distill.students import FAMILIES, build  # noqa: E402
from edgefusion.core.errors import InputError, MachineError, UsageError  # noqa: E402


@register_model
def closed_test_network(pretrained: bool = False, **options: Any) -> Any:
    """A network whose author gave timm nothing to look into."""

    class Closed(torch.nn.Conv2d):
        def __init__(self, in_chans: int = 3, **_: Any) -> None:
            super().__init__(in_chans, 8, 4, stride=4)

    return build_model_with_cfg(Closed, "closed_test_network", pretrained, **options)


def norms(student: Any) -> list[Any]:
    return [module for module in student.modules() if isinstance(module, torch.nn.BatchNorm2d)]


def test_the_proxies_tested_are_all_there_are() -> None:
    assert {*PROXIES, "timm:"} == {*FAMILIES}


@pytest.mark.parametrize("arch", ARCHS)
def test_folding_changes_nothing(arch: str, tmp_path: Path) -> None:
    student = shaken(arch, tmp_path)
    x = torch.rand(2, 32, 12, 16)
    with torch.no_grad():
        before, after = student(x), student.fold()(x)
    assert (before - after).abs().max() < 1e-5
    assert before.std() > 0.05


@pytest.mark.parametrize("arch", ARCHS)
def test_an_untrained_student_takes_the_brighter_source(arch: str, tmp_path: Path) -> None:
    x = torch.rand(1, 32, 8, 8)
    with torch.no_grad():
        y = build(spec(arch, tmp_path))(x)
    apart = (x[:, :16] - x[:, 16:]).abs() > 0.4
    brighter = torch.maximum(x[:, :16], x[:, 16:])
    assert (y - brighter)[apart].abs().max() < 0.03


def test_output_stays_within_0_and_1(tmp_path: Path) -> None:
    y = shaken("proxy-nano", tmp_path)(torch.rand(1, 32, 8, 8) * 2)
    assert 0 <= y.min() <= y.max() <= 1


def test_an_encoder_sees_visible_and_thermal_as_one_image_with_the_published_weights(tmp_path: Path) -> None:
    student = build(spec(RESNET, tmp_path))
    published = load_file(weights(tmp_path))
    layers = timm.create_model("test_resnet", features_only=True, out_indices=(1,)).eval()
    layers.load_state_dict({key: published[key] for key in layers.state_dict()})
    x = torch.rand(1, 32, 8, 12)
    planes = torch.nn.functional.pixel_shuffle(x, 4) * 2 - 1
    # timm gives two planes the weights of red and green, times 3/2
    shown = torch.cat([1.5 * planes, torch.zeros_like(planes[:, :1])], dim=1)
    with torch.no_grad():
        theirs, ours = layers(shown)[0], student.body(x)
    assert theirs.std() > 0.05
    assert torch.allclose(ours, theirs * student.body.gain, atol=1e-5)


@packaged
def test_features_begin_at_the_scale_of_a_proxys(tmp_path: Path) -> None:
    x = torch.nn.functional.pixel_unshuffle(torch.rand(1, 2, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3), 4)
    with torch.no_grad():
        assert 0.2 < build(LITE).body(x).square().mean().sqrt() < 5


def test_statistics_stay_those_of_the_published_network_while_everything_else_learns(tmp_path: Path) -> None:
    student = build(spec(RESNET, tmp_path)).train()
    before = [norm.running_mean.clone() for norm in norms(student)]
    student.unclipped(torch.rand(2, 32, 8, 8))
    assert before
    assert all(torch.equal(norm.running_mean, kept) for norm, kept in zip(norms(student), before, strict=True))
    shaken_student = shaken(RESNET, tmp_path).train()
    shaken_student.unclipped(torch.rand(2, 32, 8, 8)).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in shaken_student.parameters())


@pytest.mark.parametrize(
    ("name", "kinds"), [("test_resnet", {"BatchNorm2d"}), ("test_efficientnet", {"BatchNormAct2d"})]
)
def test_folding_leaves_no_normalisation(name: str, kinds: set[str]) -> None:
    student = build(f"timm:{name}", pretrained=False)
    assert {type(norm).__name__ for norm in norms(student)} == kinds
    assert norms(student.fold()) == []


@pytest.mark.parametrize("name", ["mobileone_s0", "resnetv2_50"])
def test_parallel_branches_and_normalisation_before_convolutions_fold_to_the_same(name: str) -> None:
    torch.manual_seed(0)
    student = build(f"timm:{name}", pretrained=False)
    with torch.no_grad():
        for norm in norms(student):
            norm.running_mean.normal_(0, 0.1)
        student.head.square.weight.normal_(0, 0.01)
        x = torch.rand(1, 32, 8, 8)
        before, folded = student(x), student.fold()
        assert (before - folded(x)).abs().max() < 1e-5
        assert before.std() > 0.05
    assert len(list(folded.modules())) < len(list(student.modules()))


@pytest.mark.parametrize("arch", ["none", "proxy-none", "proxy-nano:x", "timm", ""])
def test_a_student_of_no_family_names_the_families(arch: str) -> None:
    with pytest.raises(UsageError, match=r"unknown student .*proxy-base, timm:NAME"):
        build(arch)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "timm knows no network 'nothing'"),
        ("closed_test_network", "closed_test_network has no layers to look into"),
        ("test_vit", "test_vit has no layer of stride 4; choose another encoder"),
        ("swin_tiny_patch4_window7_224", "cannot encode an image of 60x36"),
        ("dla34", r"features \(1, 32, 18, 30\) for an image of 60x36"),
    ],
)
def test_what_cannot_be_an_encoder_is_named(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(f"timm:{name}")


def test_no_weights_or_those_of_another_network_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MachineError, match=r"no weights for test_resnet.*NAME=FILE"):
        build(RESNET)
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="weights missing or of another shape: conv1"):
        build(f"{RESNET}={tmp_path / 'other.safetensors'}")
