from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from distill.teachers import lessons, open_teacher, prior, teacher  # noqa: E402
from distill.teachers.folder import WEIGHTS, load_teacher  # noqa: E402
from edgefusion.core.errors import InputError, MachineError, UsageError  # noqa: E402

Write = Callable[..., Path]


def test_a_teacher_comes_back_as_it_was_written(checkpoint: Write) -> None:
    folder = checkpoint(manifest={"kind": "prior", "seed": 3})
    denoiser = load_teacher(str(folder))
    assert (denoiser.planes, denoiser.patch, denoiser.conditions, denoiser.stride) == (1, 2, 0, 4)
    assert denoiser.manifest["seed"] == 3
    assert denoiser.digest == load_teacher(str(folder)).digest
    stored = load_file(folder / "unet" / WEIGHTS)
    for name, tensor in denoiser.unet.state_dict().items():
        assert torch.equal(tensor, stored[name].float()), name


def test_weights_take_two_bytes_on_disk_and_four_in_use(checkpoint: Write) -> None:
    torch.manual_seed(0)
    trained = prior.network((16, 32))
    folder = checkpoint()
    found = load_teacher(str(folder)).unet
    count = sum(weight.numel() for weight in found.parameters())
    assert (folder / "unet" / WEIGHTS).stat().st_size < 2.2 * count
    for wanted, weight in zip(trained.parameters(), found.parameters(), strict=True):
        assert weight.dtype == torch.float32
        assert torch.allclose(weight, wanted, rtol=2**-11, atol=1e-7)
    assert next(trained.parameters()).dtype == torch.float32


def test_diffusers_itself_loads_it(checkpoint: Write) -> None:
    assert DDPMPipeline.from_pretrained(checkpoint(), use_safetensors=True).unet.config.in_channels == 4


def test_a_bare_network_with_its_schedule_is_a_teacher_too(tmp_path: Path) -> None:
    """The layout of google/ddpm-* on the Hub: network and scheduler side by side, RGB, epsilon."""
    UNet2DModel(
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ).save_pretrained(tmp_path / "bare")
    DDPMScheduler().save_pretrained(tmp_path / "bare")
    denoiser = load_teacher(str(tmp_path / "bare"))
    assert (denoiser.planes, denoiser.patch) == (3, 1)
    drawn = open_teacher(str(tmp_path / "bare")).draw(torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16), [1])
    assert drawn.shape == (1, 1, 16, 16)
    assert drawn.isfinite().all()


@pytest.mark.parametrize("damage", ["nan", "truncated", "missing weight", "pickle", "no schedule", "other network"])
def test_what_is_wrong_with_a_checkpoint_is_said(checkpoint: Write, damage: str) -> None:
    folder = checkpoint()
    weights = folder / "unet" / WEIGHTS
    tensors = load_file(weights)
    if damage == "nan":
        tensors["conv_in.weight"][0, 0, 0, 0] = float("nan")
        save_file(tensors, weights)
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-40])
    elif damage == "missing weight":
        del tensors["conv_in.weight"]
        save_file(tensors, weights)
    elif damage == "pickle":
        torch.save(tensors, folder / "unet" / "diffusion_pytorch_model.bin")
        weights.unlink()
    elif damage == "no schedule":
        (folder / "scheduler" / "scheduler_config.json").unlink()
    else:
        config = json.loads((folder / "unet" / "config.json").read_text())
        (folder / "unet" / "config.json").write_text(json.dumps({**config, "_class_name": "UNet2DConditionModel"}))
    messages = {
        "nan": "not finite: conv_in.weight",
        "truncated": "cannot be read",
        "missing weight": "missing.*conv_in.weight",
        "pickle": "never read",
        "no schedule": "no scheduler_config",
        "other network": "UNet2DConditionModel",
    }
    with pytest.raises(InputError, match=messages[damage]):
        load_teacher(str(folder))


def test_no_weights_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MachineError, match="the Hub did not give it"):
        load_teacher("nobody/nothing")
    with pytest.raises(InputError, match="no such teacher"):
        load_teacher(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="an id of the Hub"):
        load_teacher("a b/c d")


def test_kinds_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose from posterior, conditional"):
        teacher("oracle")
    with pytest.raises(UsageError, match="choose from prior, conditional"):
        lessons("posterior", tmp_path, None, crop_px=32, batch=1, seed=0)
    with pytest.raises(UsageError, match="--samples goes with"):
        lessons("prior", tmp_path, tmp_path, crop_px=32, batch=1, seed=0)
