"""True boxes on disk: YOLO text files, one per picture, or one COCO json.

A box may reach over the border by ``BORDER_PX``: annotation tools round, and some count pixels from 1. It is clipped,
with a warning beyond ``ROUNDING_PX``. A box farther outside says that the file is for other pictures or another
format, and is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydantic

from edgefusion.core.errors import InputError
from edgefusion.core.mistakes import first_mistake
from edgefusion.metrics.detection import Truth
from edgefusion.recordings.images import first_names

Size = tuple[int, int]

BORDER_PX = 2.0
ROUNDING_PX = 0.1
"""Six decimals of a 10,000 pixel wide picture are a hundredth of a pixel."""


def load_labels(path: Path, sizes_px: Mapping[str, Size], *, classes: Sequence[str] = ()) -> dict[str, Truth]:
    """The true boxes of pictures, by name: a folder of YOLO files, or a COCO json.

    Args:
        path: a folder with NAME.txt, or a json file.
        sizes_px: (width, height) of each picture, by its name without suffix.
        classes: the class names of a YOLO folder, in the order of their numbers.

    Raises:
        InputError: as ``read_yolo`` and ``read_coco``.
    """
    return read_yolo(path, sizes_px, classes=classes) if path.is_dir() else read_coco(path, sizes_px)


def read_yolo(folder: Path, sizes_px: Mapping[str, Size], *, classes: Sequence[str]) -> dict[str, Truth]:
    """The boxes in NAME.txt: lines of ``class cx cy width height``, relative to the picture.

    A picture with an empty file has no boxes; one without a file is unlabelled, and left out with a warning.

    Args:
        folder: where the files are.
        sizes_px: (width, height) of each picture, by name.
        classes: names, in the order of their numbers.

    Raises:
        InputError: no file for any picture, or lines that are malformed, of an unknown class or outside the picture;
            names the first ten.
    """
    files = {name: folder / f"{name}.txt" for name in sizes_px}
    _leave_out([name for name, path in files.items() if not path.is_file()], files, folder)
    collected = _Collector(folder)
    for name, path in files.items():
        if path.is_file():
            collected.add(name, sizes_px[name], _yolo_lines(path, sizes_px[name], classes, collected))
    return collected.finish()


class _CocoImage(pydantic.BaseModel):
    id: int
    file_name: str
    width: int
    height: int


class _CocoAnnotation(pydantic.BaseModel):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: bool = False


class _CocoCategory(pydantic.BaseModel):
    id: int
    name: str


class _Coco(pydantic.BaseModel):
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory]


def read_coco(path: Path, sizes_px: Mapping[str, Size]) -> dict[str, Truth]:
    """The boxes of a COCO json; pictures are known by their ``file_name`` without folder and suffix.

    Pictures that the file does not list are unlabelled, and left out with a warning; those it lists beyond the ones
    asked for are ignored.

    Args:
        path: the file.
        sizes_px: (width, height) of each picture, by name.

    Raises:
        InputError: not COCO, none of the pictures in it, another size than the picture's, or boxes of an unknown
            category, empty or outside the picture; names the first ten.
    """
    coco = _parsed(path)
    images = _by_name(coco.images, path)
    _leave_out([name for name in sizes_px if name not in images], sizes_px, path)
    wanted = {images[name].id: name for name in sizes_px if name in images}
    _check_sizes({name: images[name] for name in wanted.values()}, sizes_px, path)
    collected, categories = _Collector(path), {each.id: each.name for each in coco.categories}
    boxes: dict[str, list[_Box]] = {name: [] for name in wanted.values()}
    for number, one in enumerate(coco.annotations):
        if one.image_id in wanted:
            place = f"{wanted[one.image_id]} (annotation {number})"
            if one.category_id not in categories:
                collected.malformed.append(f"{place}: no category {one.category_id}")
                continue
            x, y, width, height = one.bbox
            corners = (x, y, x + width, y + height)
            boxes[wanted[one.image_id]].append((place, categories[one.category_id], corners, one.iscrowd))
    for name, found in boxes.items():
        collected.add(name, sizes_px[name], found)
    return collected.finish()


_Corners = tuple[float, float, float, float]
_Box = tuple[str, str, _Corners, bool]
"""Where it is written, its class, x0, y0, x1, y1 in pixels, and whether it is a crowd."""


class _Collector:
    """Truths so far, and what is wrong: all of it is told at once."""

    def __init__(self, where: Path) -> None:
        self.malformed: list[str] = []
        self._where = where
        self._truths: dict[str, Truth] = {}
        self._outside: list[str] = []
        self._clipped: list[str] = []

    def add(self, name: str, size_px: Size, boxes: Iterable[_Box]) -> None:
        kept = [(label, clipped, crowd) for place, label, corners, crowd in boxes
                if (clipped := self._clip(name, place, corners, size_px))]  # fmt: skip
        labels, corners, crowds = zip(*kept, strict=True) if kept else ((), (), ())
        self._truths[name] = Truth(np.array(corners), labels, np.array(crowds, bool))

    def _clip(self, name: str, place: str, corners: _Corners, size_px: Size) -> _Corners | None:
        x0, y0, x1, y1 = corners
        if not (np.isfinite(corners).all() and x0 < x1 and y0 < y1):
            self.malformed.append(f"{place}: an empty box")
            return None
        width, height = size_px
        over = max(-x0, -y0, x1 - width, y1 - height)
        inside = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        if over > BORDER_PX or inside[0] >= inside[2] or inside[1] >= inside[3]:
            self._outside.append(name)
            return None
        if over > ROUNDING_PX:
            self._clipped.append(name)
        return inside

    def finish(self) -> dict[str, Truth]:
        if self.malformed:
            raise InputError(
                f"{len(self.malformed)} labels cannot be read: {first_names(self.malformed)}", where=self._where
            )
        for names, what in ((self._outside, "outside the picture"), (self._clipped, "over its border")):
            if names:
                unique = list(dict.fromkeys(names))
                text = f"{len(names)} boxes reach {what}, in {len(unique)} pictures: {first_names(unique)}"
                if names is self._outside:
                    raise InputError(text, where=self._where, remedy="check that they are these pictures' labels")
                warnings.warn(f"{self._where}: {text}; clipped", stacklevel=4)
        return self._truths


def _yolo_lines(path: Path, size_px: Size, classes: Sequence[str], collected: _Collector) -> Iterator[_Box]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        collected.malformed.append(f"{path.name}: {error}")
        return
    for number, line in enumerate(lines, start=1):
        place = f"{path.name} line {number}"
        if not line.strip():
            continue
        try:
            kind, *values = line.split()
            cx, cy, w, h = (float(value) for value in values)
            label = classes[int(kind)] if 0 <= int(kind) < len(classes) else None
        except ValueError:
            collected.malformed.append(f"{place}: not 'class cx cy width height'")
            continue
        if label is None:
            collected.malformed.append(f"{place}: class {kind} of {len(classes)}")
            continue
        (width, height), (left, top) = size_px, (cx - w / 2, cy - h / 2)
        yield place, label, (left * width, top * height, (left + w) * width, (top + h) * height), False


def _parsed(path: Path) -> _Coco:
    try:
        return _Coco.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error
    except pydantic.ValidationError as error:
        raise InputError(
            f"not COCO labels ({first_mistake(error)})",
            where=path,
            remedy="give a json with images, annotations and categories, or a folder of YOLO files",
        ) from error


def _by_name(images: list[_CocoImage], path: Path) -> dict[str, _CocoImage]:
    found: dict[str, _CocoImage] = {}
    for image in images:
        name = Path(image.file_name).stem
        if name in found:
            raise InputError(f"{image.file_name} and {found[name].file_name} have the same name", where=path)
        found[name] = image
    return found


def _check_sizes(images: Mapping[str, _CocoImage], sizes_px: Mapping[str, Size], path: Path) -> None:
    wrong = [name for name, each in images.items() if (each.width, each.height) != sizes_px[name]]
    if wrong:
        raise InputError(
            f"{len(wrong)} pictures have another size than their labels say: {first_names(wrong)}",
            where=path,
            remedy="label the very pictures, or scale the labels with them",
        )


def _leave_out(missing: list[str], asked: Mapping[str, object], where: Path) -> None:
    if len(missing) == len(asked):
        raise InputError(f"no labels for any picture: {first_names(missing)}", where=where)
    if missing:
        text = f"{where}: {len(missing)} pictures without labels, left out: {first_names(missing)}"
        warnings.warn(text, stacklevel=3)
