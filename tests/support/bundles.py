"""Bundles and calibration sets for tests: the shipped student, for small pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefusion.core.bundle import Bundle, load_bundle, write_bundle
from edgefusion.core.calibration import CalibrationList, CalibrationSet, CalibrationWriter
from edgefusion.recordings.images import write_png

SIZE = (96, 72)


def small_bundle(path: Path, model: bytes | None = None) -> Bundle:
    """The shipped student with its fp32 model alone, for 96x72; or another model in its place."""
    shipped = load_bundle()
    fields = shipped.manifest.model_dump(by_alias=True, exclude={"files", "digest", "schema_version", "gates"})
    fields["precisions"] = {"fp32": "model.fp32.onnx"}
    fields["layout"]["size_px"] = SIZE
    return write_bundle(path, {"model.fp32.onnx": model or small_model()}, json.loads(json.dumps(fields)))


def small_model() -> bytes:
    """The shipped student's fp32 model for 96x72."""
    import onnx

    model = onnx.load_model(str(load_bundle().model("fp32")))
    for value in (*model.graph.input, *model.graph.output):
        rows, columns = value.type.tensor_type.shape.dim[2:]
        rows.dim_value, columns.dim_value = SIZE[1] // 4, SIZE[0] // 4
    del model.graph.value_info[:]
    return bytes(model.SerializeToString())


def scene(
    seed: int, *, light: float = 0.5, size: tuple[int, int] = SIZE
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Visible RGB [H, W, 3] and thermal [H, W]: soft textures, and something hot."""
    import cv2

    draw = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(draw.normal(0, 1, (2, *size[::-1])).transpose(1, 2, 0), (0, 0), 2.5) * 6
    visible = np.clip(light + 0.15 * texture[..., 0] + 0.02 * draw.normal(size=size[::-1]), 0, 1)
    thermal = np.clip(0.35 + 0.12 * texture[..., 1], 0, 1)
    row, column = draw.integers(8, 48), draw.integers(8, 72)
    thermal[row : row + 20, column : column + 9] = draw.uniform(0.75, 1)
    shaded = visible[..., None] * np.array([1.0, 0.97, 0.9])
    return (shaded * 255).astype(np.uint8), (thermal * 255).astype(np.uint8)


def write_scenes(
    folder: Path, count: int, *, seed: int = 100, light: float = 0.5, size: tuple[int, int] = SIZE
) -> Path:
    """A folder of pairs; returns it."""
    for half in ("visible", "thermal"):
        (folder / half).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        for half, pixels in zip(("visible", "thermal"), scene(seed + number, light=light, size=size), strict=True):
            write_png(folder / half / f"{seed + number:04d}.png", pixels)
    return folder


def write_calibration(path: Path, bundle: Bundle, frames: int = 16, holdout: int = 12) -> CalibrationSet:
    """A calibration set of such scenes, as the bundle's student sees them."""
    from edgefusion.core.frames import Frame, FramePair, PixelFormat
    from edgefusion.kernels.agc import AgcSpec
    from edgefusion.kernels.inputs import InputPacker

    packer = InputPacker(AgcSpec(**bundle.manifest.agc.model_dump()))
    with CalibrationWriter(path) as writer:
        chosen = []
        for number in range(frames + holdout):
            visible, thermal = scene(number)
            pair = FramePair(
                Frame(visible, PixelFormat.RGB24, number * 10**9, "receive", number),
                Frame(thermal, PixelFormat.GREY, number * 10**9, "receive", number),
            )
            x = packer.input(pair)
            facts = {"name": "", "light": "day", "agc_range": (0.0, 255.0), "reason": "for a test"}
            luma = float(x[:16].mean())
            chosen.append(writer.add(x, sequence=number, timestamp_ns=number * 10**9, luma=luma, **facts))
        contents = CalibrationList(
            schema=1, sources=("scenes",), size_px=SIZE, agc=bundle.manifest.agc, settings={"stills": False}, seen={},
            lacks=(), frames=tuple(chosen[:frames]), holdout=tuple(chosen[frames:]),
        )  # fmt: skip
        return writer.finish(contents)
