"""True boxes of a clip with what they belong to: a MOTChallenge text file.

Lines of ``frame, id, x, y, width, height, confidence, class, visibility``, frames and pixels counted from 1 (Milan et
al., "MOT16: a benchmark for multi-object tracking", arXiv 1603.00831). Confidence 0 says: not to be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError
from edgefusion.metrics.detection import Truth
from edgefusion.recordings.images import first_names

Size = tuple[int, int]

CLASSES = {-1: "person", 1: "person", 3: "car", 4: "bicycle", 5: "motorcycle"}
"""MOTChallenge's numbers of what is judged; -1 stands where a file has no classes, being of pedestrians."""

DOUBTFUL = {2: "person", 7: "person", 8: "person", 12: "person", 13: "person"}
"""Persons on vehicles, sitting ones, look-alikes, reflections, crowds: neither to be found nor wrong to find."""

FIELDS = 6
"""The fields that a line must have."""


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """True boxes of one frame, and the identity of each.

    Attributes:
        truth: boxes and classes; ``crowd`` marks those not to be judged.
        identities: [N], the same number for the same object in all frames.
    """

    truth: Truth
    identities: npt.NDArray[np.int64]


def read_mot(path: Path, frames: int, size_px: Size, *, classes: Sequence[str] = ()) -> list[FrameTruth]:
    """The true boxes of each frame; a frame without a line has none.

    Args:
        path: the file.
        frames: how many the clip has; later ones are ignored.
        size_px: (width, height) of its frames; boxes are clipped to it.
        classes: names of the class numbers from 1, where they are not MOTChallenge's.

    Raises:
        InputError: not such a file, a class number without a name, an identity twice in a frame, or no box in any of
            the frames; names the first ten.
    """
    found: list[dict[int, tuple[str, list[float], bool]]] = [{} for _ in range(frames)]
    names = dict(enumerate(classes, start=1)) if classes else CLASSES
    wrong = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            frame, identity, corners, judged, kind = _fields(line)
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
            continue
        label = names.get(kind) or (None if classes else DOUBTFUL.get(kind))
        if label is None and classes:
            wrong.append(f"line {number}: class {kind} of {len(classes)}")
        box = _clipped(corners, size_px)
        if frame > frames or label is None or box is None:
            continue
        if identity in found[frame - 1]:
            wrong.append(f"line {number}: {identity} a second time in frame {frame}")
        found[frame - 1][identity] = label, box, not judged or kind not in names
    if wrong:
        raise InputError(
            f"{len(wrong)} lines cannot be read: {first_names(wrong)}", where=path,
            remedy="give lines of frame, id, x, y, width, height, confidence, class, visibility",
        )  # fmt: skip
    if not any(not hidden for each in found for _, _, hidden in each.values()):
        raise InputError(f"no box to judge in the first {frames} frames", where=path)
    return [_frame_truth(each) for each in found]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as a MOTChallenge text file ({error})", where=path) from error


def _fields(line: str) -> tuple[int, int, list[float], bool, int]:
    """Frame from 1, identity, corners from the left and upper edge, whether to be judged, class."""
    values = [float(value) for value in line.split(",")]
    if len(values) < FIELDS or not np.isfinite(values).all():
        raise ValueError(f"{len(values)} numbers of {FIELDS} or more")
    frame, identity, (x, y, width, height) = int(values[0]), int(values[1]), values[2:6]
    if frame < 1 or width <= 0 or height <= 0:
        raise ValueError(f"frame {frame}, {width:g}x{height:g}")
    judged = len(values) <= FIELDS or values[6] != 0
    kind = int(values[7]) if len(values) == FIELDS + 3 else -1  # ten fields: the older form, of places in the world
    return frame, identity, [x - 1, y - 1, x - 1 + width, y - 1 + height], judged, kind


def _clipped(corners: list[float], size_px: Size) -> list[float] | None:
    """Within the picture; None outside it."""
    width, height = size_px
    x0, y0, x1, y1 = max(corners[0], 0), max(corners[1], 0), min(corners[2], width), min(corners[3], height)
    return [x0, y0, x1, y1] if x0 < x1 and y0 < y1 else None


def _frame_truth(boxes: dict[int, tuple[str, list[float], bool]]) -> FrameTruth:
    labels, corners, hidden = zip(*boxes.values(), strict=True) if boxes else ((), (), ())
    truth = Truth(np.array(corners), labels, np.array(hidden, bool))
    return FrameTruth(truth, np.array([*boxes], np.int64))
