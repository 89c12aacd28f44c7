"""Teachers on disk: an ordinary diffusers folder, safetensors only, with a manifest beside it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError

from distill.teachers.denoiser import Denoiser
from edgefusion.core.errors import InputError, MachineError

MANIFEST = "teacher.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
_WANTED = ["*.json", f"*{WEIGHTS}"]


def save_teacher(folder: Path, unet: Any, schedule: Any, manifest: dict[str, Any]) -> None:
    """Write a teacher so that it is whole or not there; one of that name is replaced.

    Its weights are stored in FP16, half the bytes; the rounding is an eighth of bf16's. Training goes on from the run's
    state, which is FP32.

    Raises:
        MachineError: the place is not writable or full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        DDPMPipeline(copy.deepcopy(unet).half(), schedule).save_pretrained(part / "new", safe_serialization=True)
        (part / "new" / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        if folder.exists():
            folder.rename(part / "old")
        os.replace(part / "new", folder)
        shutil.rmtree(part)
    except OSError as error:
        raise MachineError(f"cannot write the teacher ({error.strerror})", where=folder) from error


def load_teacher(source: str) -> Denoiser:
    """A local folder or a checkpoint of the Hub, in the layout of a pipeline or of a bare UNet2DModel; always FP32.

    Args:
        source: a folder, or ``owner/name``.

    Raises:
        InputError: no such folder, a network of another kind, lacking or damaged weights, NaN.
        MachineError: the Hub cannot be reached.
    """
    folder = Path(source) if Path(source).is_dir() else _fetch(source)
    unet_folder = folder / "unet" if (folder / "unet").is_dir() else folder
    unet = _load_unet(unet_folder, source)
    schedule = _load_schedule(folder, unet_folder)
    manifest = folder / MANIFEST
    about = json.loads(manifest.read_text()) if manifest.exists() else {}
    return Denoiser(unet, schedule, digest=_digest(unet_folder, schedule), manifest=about)


def _fetch(source: str) -> Path:
    remedy = "give a folder that exists, or the id of a checkpoint on the Hub"
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise InputError("no such teacher", where=source, remedy=remedy)
    try:
        return Path(snapshot_download(source, allow_patterns=_WANTED))
    except HFValidationError as error:
        raise InputError("neither a folder nor an id of the Hub", where=source, remedy=remedy) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise MachineError(
            f"no such folder, and the Hub did not give it ({type(error).__name__})",
            where=source,
            remedy="check the id and the network, or copy the checkpoint here and give its folder",
        ) from error


def _load_unet(folder: Path, source: str) -> Any:
    if not (folder / "config.json").exists() or not (folder / WEIGHTS).exists():
        raise InputError(
            f"not a diffusers checkpoint: config.json and {WEIGHTS} are needed",
            where=folder,
            remedy="convert the weights to safetensors; pickled weights are never read",
        )
    name = json.loads((folder / "config.json").read_text()).get("_class_name")
    if name != "UNet2DModel":
        raise InputError(f"a network of the class {name}, not UNet2DModel", where=folder)
    try:
        unet, notes = UNet2DModel.from_pretrained(
            folder, torch_dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise InputError(f"weights cannot be read ({error})", where=folder / WEIGHTS) from error
    if wrong := [*notes["missing_keys"], *notes["mismatched_keys"]]:
        raise InputError(f"weights are missing or of another shape: {', '.join(map(str, wrong[:5]))}", where=source)
    if broken := [name for name, weight in unet.state_dict().items() if not torch.isfinite(weight).all()]:
        raise InputError(f"weights that are not finite: {', '.join(broken[:5])}", where=source)
    return unet.eval().requires_grad_(False)


def _load_schedule(folder: Path, unet_folder: Path) -> Any:
    for place in (folder / "scheduler", folder, unet_folder.parent / "scheduler"):
        if (place / "scheduler_config.json").exists():
            return DDPMScheduler.from_config(json.loads((place / "scheduler_config.json").read_text()))
    raise InputError(
        "no scheduler_config.json", where=folder, remedy="a network without its noise schedule is no teacher"
    )


def _digest(unet_folder: Path, schedule: Any) -> str:
    digest = hashlib.sha256((unet_folder / WEIGHTS).read_bytes())
    digest.update((unet_folder / "config.json").read_bytes())
    digest.update(json.dumps(dict(schedule.config), sort_keys=True, default=str).encode())
    return digest.hexdigest()
