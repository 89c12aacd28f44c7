"""Small frames, recordings and references that tests share."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import Frame, FramePair, PixelFormat, Pixels
from edgefusion.recordings.images import write_png
from edgefusion.recordings.video import VideoWriter

Size = tuple[int, int]


def noise(pixel_format: PixelFormat, size: Size, seed: int = 0) -> Pixels:
    """Random pixels over the whole range of a format; 14 bits of a deep one."""
    draw = np.random.default_rng(seed)
    top = 2**14 if pixel_format.deep else 256
    pixels = draw.integers(0, top, pixel_format.array_shape(*size)).astype(pixel_format.dtype)
    return pixels.byteswap() if pixel_format is PixelFormat.Y16_BE else pixels


def frame(pixels: Pixels, pixel_format: PixelFormat, sequence: int = 0) -> Frame:
    return Frame(pixels, pixel_format, sequence, "receive", sequence)


def noise_pair(visible: PixelFormat, thermal: PixelFormat, sizes: tuple[Size, Size], seed: int = 0) -> FramePair:
    return FramePair(frame(noise(visible, sizes[0], seed), visible), frame(noise(thermal, sizes[1], seed + 1), thermal))


def write_folder(folder: Path, names: list[str], size: Size = (64, 48), bits: int = 8) -> Path:
    """A recording folder of PNGs; returns it."""
    for half in ("visible", "thermal"):
        (folder / half).mkdir(parents=True)
    for index, name in enumerate(names):
        write_png(folder / "visible" / f"{name}.png", noise(PixelFormat.RGB24, size, index))
        kind = PixelFormat.GREY if bits == 8 else PixelFormat.Y16
        write_png(folder / "thermal" / f"{name}.png", noise(kind, size, index + 100))
    return folder


def write_tar(path: Path, folder: Path, names: Sequence[str], *, prefix: str = "") -> Path:
    """A WebDataset tar of some pairs of a recording folder, with a member beside them; returns its path."""
    with tarfile.open(path, "w") as archive:
        for name in names:
            for half in ("visible", "thermal"):
                archive.add(folder / half / f"{name}.png", f"{prefix}{name}.{half}.png")
            note = tarfile.TarInfo(f"{prefix}{name}.json")
            archive.addfile(note, io.BytesIO())
    return path


def rig_toml(shift: tuple[float, float]) -> str:
    """A rig.toml of two 64x48 cameras, thermal shifted against visible by so many pixels."""
    return f"""
schema = 1
registration = [[1.0, 0.0, {shift[0]}], [0.0, 1.0, {shift[1]}], [0.0, 0.0, 1.0]]
[visible]
size_px = [64, 48]
format = "RGB24"
[thermal]
size_px = [64, 48]
format = "GREY"
"""


def write_video(path: Path, frames: int, size: Size = (64, 48), fps: float = 30) -> Path:
    """A video of a square that walks to the right; returns its path."""
    with VideoWriter(path, size, fps=fps) as writer:
        for index in range(frames):
            picture: npt.NDArray[np.uint8] = np.full((size[1], size[0], 3), 40, np.uint8)
            picture[10:30, index % 40 : index % 40 + 16] = 200
            writer.write(picture)
    return path
