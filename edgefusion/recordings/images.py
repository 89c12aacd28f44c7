"""Still images: reading a visible or a thermal picture, writing a PNG, matching two folders by name."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from edgefusion.core.errors import RecordingError
from edgefusion.core.files import atomic_write
from edgefusion.core.frames import Frame, FramePair, PixelFormat, Pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
FALSE_COLOUR_LEVELS = 24
"""A grey picture stored as RGB may differ this much between channels (JPEG); beyond, it is in false colour."""


class Picture(Protocol):
    """An encoded picture: a path, or a file inside something else; its ``str`` says where it lies."""

    def read_bytes(self) -> bytes:
        """Its content."""


def read_visible(path: Picture) -> npt.NDArray[np.uint8]:
    """[H, W, 3] uint8 RGB of an 8- or 16-bit PNG, JPEG or TIFF.

    Raises:
        RecordingError: missing, unreadable, truncated, empty or floating-point image.
    """
    image = open_image(path)
    if image.mode.startswith("I"):
        return np.repeat((_counts(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"), np.uint8)


def read_thermal(path: Picture) -> Pixels:
    """[H, W] of a grey picture: uint8 if it is 8-bit, uint16 counts if it is 16-bit.

    Raises:
        RecordingError: as ``read_visible``, or a picture in false colour.
    """
    image = open_image(path)
    if image.mode.startswith("I"):
        return _counts(image)
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image.convert("L"), np.uint8)
    return grey(np.asarray(image.convert("RGB"), np.uint8), str(path))


def grey(rgb: npt.NDArray[np.uint8], where: str) -> npt.NDArray[np.uint8]:
    """[H, W] of a grey picture [H, W, 3].

    Raises:
        RecordingError: it is in false colour.
    """
    if (rgb.max(axis=2) - rgb.min(axis=2)).max() > FALSE_COLOUR_LEVELS:
        raise RecordingError(
            "this thermal picture is in false colour", where=where, remedy="export it as grey, 8- or 16-bit"
        )
    return np.asarray(Image.fromarray(rgb).convert("L"), np.uint8)


def open_image(path: Picture) -> Image.Image:
    """A picture whose pixels are loaded, in whatever mode it has.

    Raises:
        RecordingError: missing, unreadable, truncated, empty or floating-point image.
    """
    image: Image.Image
    try:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            image.load()
    except FileNotFoundError:
        raise RecordingError("no such file", where=str(path)) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise RecordingError(f"not a readable image ({error})", where=str(path), remedy="copy it again") from error
    if image.mode == "F":
        raise RecordingError("floating-point image", where=str(path), remedy="store 8- or 16-bit integers")
    return image


def _counts(image: Image.Image) -> npt.NDArray[np.uint16]:
    return np.asarray(image).astype(np.uint16)


def write_png(path: Path, pixels: Pixels) -> None:
    """Write [H, W] or [H, W, 3] uint8, or [H, W] uint16, so that ``path`` is complete or absent.

    Raises:
        MachineError: the folder is missing or not writable, or the disk is full.
    """
    with atomic_write(path) as stream:
        Image.fromarray(pixels).save(stream, "PNG", compress_level=1)


def list_images(folder: Path) -> dict[str, Path]:
    """Images of a folder by stem, in name order.

    Raises:
        RecordingError: no such folder, no image in it, or two images of one stem.
    """
    if not folder.is_dir():
        raise RecordingError("no such folder", where=folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in found:
                raise RecordingError(f"{path.name} and {found[path.stem].name} have the same name", where=folder)
            found[path.stem] = path
    if not found:
        raise RecordingError(f"no image ({', '.join(SUFFIXES)}) in this folder", where=folder)
    return found


def first_names(names: Sequence[str], count: int = 10) -> str:
    """The first ``count`` names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


@dataclass(frozen=True)
class ImagePair:
    """Where the two pictures of a pair lie."""

    name: str
    visible: Picture
    thermal: Picture

    def load(self, sequence: int = 0) -> FramePair:
        """Read both pictures; the timestamp is the pair's place in its folder, as nothing better is known."""
        visible, thermal = read_visible(self.visible), read_thermal(self.thermal)
        kind = PixelFormat.GREY if thermal.dtype == np.uint8 else PixelFormat.Y16
        return FramePair(
            Frame(visible, PixelFormat.RGB24, sequence, "receive", sequence),
            Frame(thermal, kind, sequence, "receive", sequence),
            self.name,
        )


def match_folders(visible: Path, thermal: Path, *, intersect: bool = False) -> tuple[list[ImagePair], list[str]]:
    """Pairs of equal names, and the names that only one folder has.

    Args:
        visible: folder of visible pictures.
        thermal: folder of thermal pictures.
        intersect: leave names without a partner out instead of refusing.

    Raises:
        RecordingError: names that do not match, or no name in both.
    """
    left, right = list_images(visible), list_images(thermal)
    alone = sorted(left.keys() ^ right.keys())
    pairs = [ImagePair(name, left[name], right[name]) for name in left if name in right]
    if not pairs:
        raise RecordingError(f"no name is in both {visible} and {thermal}", remedy="name both pictures of a pair alike")
    if alone and not intersect:
        raise RecordingError(
            f"{len(alone)} names are in only one of {visible} and {thermal}: {first_names(alone)}",
            remedy="add the missing files or pass --intersect",
        )
    return pairs, alone
