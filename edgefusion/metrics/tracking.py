"""How well tracks follow the true objects of a clip: CLEAR MOT.

Source: Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics",
EURASIP J. Image and Video Processing 2008, with 1 - IoU as the distance of two boxes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from edgefusion.core.errors import UsageError
from edgefusion.metrics.detection import Boxes, intersection_over_union

Cover = npt.NDArray[np.float64]
FORBIDDEN = 1e6


@dataclass(frozen=True, eq=False)
class Tracked:
    """Boxes of one frame with what they belong to.

    Attributes:
        boxes_px: [N,4], as in ``detection``.
        identities: [N] whole numbers, different within a frame, equal for the same object in all frames.

    Raises:
        UsageError: not one identity for each box, or one of them twice.
    """

    boxes_px: Boxes
    identities: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes_px, np.float64).reshape(-1, 4)
        identities = np.asarray(self.identities, np.int64)
        if identities.shape != boxes.shape[:1] or len(np.unique(identities)) != len(identities):
            raise UsageError(f"{len(boxes)} boxes, identities {identities.tolist()}", remedy="give each its own")
        object.__setattr__(self, "boxes_px", boxes)
        object.__setattr__(self, "identities", identities)


@dataclass(frozen=True)
class TrackingScores:
    """Sums over the frames of a clip.

    Attributes:
        frames: number of frames.
        truths: true boxes.
        matches: true boxes that a track covers.
        misses: true boxes that none covers.
        false_positives: boxes of tracks that cover nothing.
        switches: how often a true object is covered by another track than when it was last covered, be it after a gap.
    """

    frames: int
    truths: int
    matches: int
    misses: int
    false_positives: int
    switches: int

    @property
    def accuracy(self) -> float | None:
        """MOTA: 1 - (misses + false positives + switches) / truths; None without true boxes. May be negative."""
        errors = self.misses + self.false_positives + self.switches
        return 1 - errors / self.truths if self.truths else None


def clear_mot(truths: Iterable[Tracked], tracks: Iterable[Tracked], *, least_overlap: float = 0.5) -> TrackingScores:
    """Count misses, false positives and identity switches.

    In each frame a pair of the frame before stays matched while its boxes overlap by ``least_overlap``; the others
    are assigned so that most are matched, with the largest sum of overlaps.

    Args:
        truths: the true boxes, a frame each. Give one class at a time.
        tracks: the tracker's boxes of the same frames.
        least_overlap: intersection over union from which two boxes match.

    Raises:
        UsageError: not as many frames of one as of the other.
    """
    before: dict[int, int] = {}
    last: dict[int, int] = {}
    frames = total = matched = missed = false = switches = 0
    for truth, track in _together(truths, tracks):
        before = _assign(truth, track, before, least_overlap)
        switches += sum(last.get(true, found) != found for true, found in before.items())
        last.update(before)
        frames, total, matched = frames + 1, total + len(truth.identities), matched + len(before)
        missed += len(truth.identities) - len(before)
        false += len(track.identities) - len(before)
    return TrackingScores(frames, total, matched, missed, false, switches)


def _together(truths: Iterable[Tracked], tracks: Iterable[Tracked]) -> Iterable[tuple[Tracked, Tracked]]:
    try:
        yield from zip(truths, tracks, strict=True)
    except ValueError as error:
        raise UsageError(f"truths and tracks differ in length ({error})", remedy="give each frame to both") from error


def _assign(truth: Tracked, track: Tracked, before: dict[int, int], least: float) -> dict[int, int]:
    """Track by true identity in one frame."""
    overlap: Cover = intersection_over_union(truth.boxes_px, track.boxes_px)
    rows = {int(identity): row for row, identity in enumerate(truth.identities)}
    columns = {int(identity): column for column, identity in enumerate(track.identities)}
    kept = {
        true: found
        for true, found in before.items()
        if true in rows and found in columns and overlap[rows[true], columns[found]] >= least
    }
    distance = np.where(overlap >= least, 1 - overlap, FORBIDDEN)
    distance[[rows[true] for true in kept]] = FORBIDDEN
    distance[:, [columns[found] for found in kept.values()]] = FORBIDDEN
    for row, column in zip(*linear_sum_assignment(distance), strict=True):
        if distance[row, column] < FORBIDDEN:
            kept[int(truth.identities[row])] = int(track.identities[column])
    return kept
