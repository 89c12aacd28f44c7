"""Following a detector's boxes from frame to frame.

The association of ByteTrack (Zhang et al., ECCV 2022): sure detections are given to tracks first, unsure ones to the
tracks that are then left, so that a half-hidden object does not lose its track. Boxes are predicted by a Kalman filter
of constant velocity, its noise in proportion to the box as in DeepSORT (Wojke et al., ICIP 2017) and BoT-SORT (Aharon
et al., arXiv 2206.14651, 2022). Its covariances are diagonal there, so each coordinate is a filter of its own.

Ours, as the libraries that have it bring matplotlib, a second OpenCV or NumPy below 2 with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from edgefusion.metrics.detection import Boxes, intersection_over_union
from edgefusion.metrics.tracking import Tracked

SURE, LEAST_SCORE, BEGIN = 0.25, 0.1, 0.25
"""Scores from which a detection is sure, is looked at, begins a track: those of Ultralytics' ByteTrack, for detectors
of every kind. The paper's 0.5 and 0.6 are for a detector trained on the very scenes."""

LEAST_OVERLAPS = {"sure": 0.2, "unsure": 0.5, "new": 0.3}
"""Intersection over union of detection and prediction, for sure and unsure detections, and for tracks of one frame."""

KEPT_S = 1.0
"""So long a track that is not seen is kept."""

POSITION_NOISE, SPEED_NOISE = 1 / 20, 1 / 160
"""Standard deviations as shares of the box's side; of speed, a frame."""

DESCRIPTION = (
    f"two stages after ByteTrack, Kalman filter of constant velocity; scores from {SURE:g}, then from {LEAST_SCORE:g}; "
    f"begun from {BEGIN:g}, kept {KEPT_S:g} s unseen"
)

Numbers = npt.NDArray[np.intp]


@dataclass(eq=False)
class _Track:
    """State of one object.

    Attributes:
        mean: [4,2], centre x, y, width, height, each with its change a frame.
        covariance: [4,2,2].
        unseen: frames since it was last seen.
        identity: None until it has been seen twice.
    """

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    identity: int | None = None
    unseen: int = field(default=0)

    @classmethod
    def begin(cls, box: Boxes) -> _Track:
        measured = _centred(box)
        spread = np.tile(measured[2:], 2)
        covariance = np.zeros((4, 2, 2))
        covariance[:, 0, 0], covariance[:, 1, 1] = (2 * POSITION_NOISE * spread) ** 2, (10 * SPEED_NOISE * spread) ** 2
        return cls(np.column_stack([measured, np.zeros(4)]), covariance)

    def predict(self) -> None:
        """One frame on; the size of what is not seen stays as it was."""
        if self.unseen:
            self.mean[2:, 1] = 0
        spread = np.tile(np.maximum(self.mean[2:, 0], 1), 2)
        motion = np.array([[1.0, 1.0], [0.0, 1.0]])
        self.mean = self.mean @ motion.T
        self.covariance = motion @ self.covariance @ motion.T
        self.covariance[:, 0, 0] += (POSITION_NOISE * spread) ** 2
        self.covariance[:, 1, 1] += (SPEED_NOISE * spread) ** 2

    def correct(self, box: Boxes) -> None:
        """Take in where it was found."""
        spread = np.tile(np.maximum(self.mean[2:, 0], 1), 2)
        gain = self.covariance[:, :, 0] / (self.covariance[:, 0, 0] + (POSITION_NOISE * spread) ** 2)[:, None]
        self.mean = self.mean + gain * (_centred(box) - self.mean[:, 0])[:, None]
        self.covariance = self.covariance - gain[:, :, None] * self.covariance[:, None, 0, :]
        self.unseen = 0

    @property
    def box(self) -> Boxes:
        """[4], x0, y0, x1, y1, of at least a pixel."""
        half = np.maximum(self.mean[2:, 0], 1) / 2
        return np.concatenate([self.mean[:2, 0] - half, self.mean[:2, 0] + half])


class Tracker:
    """Follows the boxes of one class through one clip; call it with each frame in turn.

    Args:
        fps: frames a second.
        first: the identity of the first track.

    Attributes:
        next_identity: of the track that will be begun next.
    """

    def __init__(self, *, fps: float, first: int = 1) -> None:
        self._kept = max(round(KEPT_S * fps), 1)
        self.next_identity, self._frames = first, 0
        self._tracks: list[_Track] = []

    def __call__(self, boxes: Boxes, scores: npt.NDArray[np.float64]) -> Tracked:
        """The tracks seen in the next frame, by the boxes that were found.

        Args:
            boxes: [N,4], x0, y0, x1, y1 in pixels.
            scores: [N].
        """
        for track in self._tracks:
            track.predict()
        sure, unsure = np.flatnonzero(scores >= SURE), np.flatnonzero((scores >= LEAST_SCORE) & (scores < SURE))
        known = [track for track in self._tracks if track.identity is not None]
        new = [track for track in self._tracks if track.identity is None]
        seen: list[tuple[_Track, Boxes]] = []
        left, sure = _given(known, boxes, sure, LEAST_OVERLAPS["sure"], seen)
        _given([track for track in left if not track.unseen], boxes, unsure, LEAST_OVERLAPS["unsure"], seen)
        _, sure = _given(new, boxes, sure, LEAST_OVERLAPS["new"], seen)
        begun = [_Track.begin(boxes[number]) for number in sure if scores[number] >= BEGIN]
        if not self._frames:  # those of the first frame are not doubted
            seen += [(track, track.box) for track in begun]
        return self._finish(seen, begun)

    def _finish(self, seen: list[tuple[_Track, Boxes]], begun: list[_Track]) -> Tracked:
        found = {id(track) for track, _ in seen}
        for track in self._tracks:
            track.unseen += id(track) not in found
        kept = [track for track in self._tracks
                if track.unseen <= (0 if track.identity is None else self._kept)]  # fmt: skip
        for track, _ in seen:
            if track.identity is None:
                track.identity, self.next_identity = self.next_identity, self.next_identity + 1
        self._tracks, self._frames = kept + begun, self._frames + 1
        identities = np.array([track.identity for track, _ in seen], np.int64)
        return Tracked(np.array([box for _, box in seen]).reshape(-1, 4), identities)


def _given(
    tracks: list[_Track], boxes: Boxes, numbers: Numbers, least: float, seen: list[tuple[_Track, Boxes]]
) -> tuple[list[_Track], Numbers]:
    """Give detections to tracks with the largest sum of overlaps; the tracks and detections that are left."""
    if not tracks or not len(numbers):
        return tracks, numbers
    overlap = intersection_over_union(np.array([track.box for track in tracks]), boxes[numbers])
    rows, columns = linear_sum_assignment(np.where(overlap >= least, overlap, 0.0), maximize=True)
    pairs = [(row, column) for row, column in zip(rows, columns, strict=True) if overlap[row, column] >= least]
    for row, column in pairs:
        tracks[row].correct(boxes[numbers[column]])
        seen.append((tracks[row], boxes[numbers[column]]))
    given = {row for row, _ in pairs}
    left = [track for row, track in enumerate(tracks) if row not in given]
    return left, np.delete(numbers, [column for _, column in pairs])


def _centred(box: Boxes) -> npt.NDArray[np.float64]:
    """[4] centre x, y, width, height."""
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
