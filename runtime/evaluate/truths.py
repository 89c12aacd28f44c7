"""Where the true boxes of pairs lie, and what their class numbers mean."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.geometry import Size
from edgefusion.core.optional import require
from edgefusion.metrics.detection import Truth
from edgefusion.recordings.images import ImagePair, first_names
from edgefusion.recordings.labels import load_labels
from runtime.evaluate.detector import UNNAMED

FOLDER = "labels"
GIVE_CLASSES = (
    "give them in the order of their numbers: --classes A,B,C, or a line each in classes.txt among the labels"
)

PUBLISHED = {"m3fd": ["People", "Car", "Bus", "Lamp", "Motorcycle", "Truck"]}
"""Class names, in order, that the owners of a data set publish beside it: by the name of its folder."""

MOST_CLASSES = 1000
"""Of labels without names."""


class Truths(NamedTuple):
    """True boxes by the pair's name, for those that have labels, in the order of pairs; and where they were found."""

    boxes: dict[str, Truth]
    source: str


def find_truths(
    pairs: Sequence[tuple[ImagePair, Size]], *, labels: Path | None = None, classes: Sequence[str] | None = None
) -> Truths:
    """The true boxes of pairs.

    Labels are a folder of YOLO files, or a COCO json, which may lie alone in such a folder: ``labels/`` beside a
    pair's ``visible/``, or one place for all. For pairs called ``SET/STEM`` that is ``labels``/SET where it exists.

    Args:
        pairs: each with (width, height) of its pictures.
        labels: the one place.
        classes: names of YOLO's class numbers; by default those in ``classes.txt`` among the labels, or in
            ``classes.txt`` or ``data.yaml`` beside their folder, or those of a known data set. Without any, all boxes
            are judged as one class, with a warning.

    Raises:
        InputError: no labels for any pair, or without any box; malformed labels.
        UsageError: class names for COCO labels, which state their own.
        MachineError: a ``data.yaml``, and no PyYAML.
    """
    if labels and not labels.exists():
        raise InputError("no such file or folder of labels", where=labels)
    places: dict[Path, dict[str, tuple[str, Size]]] = {}
    for pair, size_px in pairs:
        place, stem = _place(pair, labels), pair.name.rpartition("/")[2]
        other = places.setdefault(place, {}).setdefault(stem, (pair.name, size_px))
        if other[0] != pair.name:
            raise InputError(
                f"{other[0]} and {pair.name} would have the same labels", where=place, remedy="put them in SET/NAME.txt"
            )
    places = {_coco_in(place): asked for place, asked in places.items()}
    boxes: dict[str, Truth] = {}
    for place, asked in places.items():
        boxes.update(_read(place, asked, classes))
    _check(boxes, list(places))
    # A COCO json's are warned of where it is read.
    missing = [name for place, asked in places.items() if not place.is_file()
               for name, _ in asked.values() if name not in boxes]  # fmt: skip
    if missing:
        warnings.warn(
            f"nothing is detected in {len(missing)} pairs without labels: {first_names(missing)}", stacklevel=2
        )
    ordered = {pair.name: boxes[pair.name] for pair, _ in pairs if pair.name in boxes}
    return Truths(ordered, ", ".join(str(place) for place in places))


def _place(pair: ImagePair, labels: Path | None) -> Path:
    if labels is None:
        if not isinstance(pair.visible, Path):
            raise InputError("no labels lie beside pictures in a tar", where=str(pair.visible), remedy="give --labels")
        return pair.visible.parent.parent / FOLDER
    own = labels / pair.name.rpartition("/")[0]
    return own if own.is_dir() else labels


def _coco_in(place: Path) -> Path:
    """The json that lies in a folder without YOLO files, or the place itself."""
    if place.is_dir() and not any(place.glob("*.txt")):
        found = list(place.glob("*.json"))
        return found[0] if len(found) == 1 else place
    return place


def _read(place: Path, asked: Mapping[str, tuple[str, Size]], classes: Sequence[str] | None) -> dict[str, Truth]:
    names = {stem: name for stem, (name, _) in asked.items()}
    sizes = {stem: size_px for stem, (_, size_px) in asked.items()}
    if place.is_file():
        if classes:
            raise UsageError("--classes names the numbers of YOLO labels", remedy=f"leave it out: {place} has its own")
        found = load_labels(place, sizes)
    else:
        sizes = {stem: size_px for stem, size_px in sizes.items() if (place / f"{stem}.txt").is_file()}
        found = load_labels(place, sizes, classes=classes or _class_names(place)) if sizes else {}
    return {names[stem]: truth for stem, truth in found.items()}


def _check(boxes: Mapping[str, Truth], places: Sequence[Path]) -> None:
    listed = first_names([str(place) for place in places])
    if not boxes:
        raise InputError(
            f"no pair has labels; looked in {listed}",
            remedy="put NAME.txt (YOLO) or one COCO json there, or say where they are: --labels",
        )
    if not any((~truth.crowd).any() for truth in boxes.values()):
        raise InputError(f"the labels of {len(boxes)} pairs have no box; looked in {listed}")


def _class_names(folder: Path) -> list[str]:
    readers: dict[Path, Callable[[str], Sequence[object]]] = {
        folder / "classes.txt": str.splitlines,
        folder.parent / "classes.txt": str.splitlines,
        folder.parent / "data.yaml": _yaml_names,
    }
    for path, read in readers.items():
        if path.is_file():
            try:
                names = [str(name).strip() for name in read(path.read_text("utf-8-sig"))]
            except (OSError, ValueError) as error:
                raise InputError(f"no class names can be read ({error})", where=path, remedy=GIVE_CLASSES) from error
            return [name for name in names if name]
    if folder.parent.name.lower() in PUBLISHED:
        return PUBLISHED[folder.parent.name.lower()]
    warnings.warn(
        f"{folder}: the classes of these labels have no names, so every box and every detection counts as an "
        f"{UNNAMED}; {GIVE_CLASSES}",
        stacklevel=4,
    )
    return [UNNAMED] * MOST_CLASSES


def _yaml_names(text: str) -> list[object]:
    """``names`` of an Ultralytics data set: a list, or number -> name; ValueError where there are none."""
    yaml = require("yaml", "detect")
    try:
        names = yaml.safe_load(text)["names"]
        return [names[number] for number in range(len(names))]
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise ValueError("no list of names") from error
