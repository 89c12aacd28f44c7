"""Tracks through every entry's clip, and how well they follow the true objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from edgefusion.metrics.detection import Detections, intersection_over_union
from edgefusion.metrics.tracking import Tracked, TrackingScores, clear_mot
from edgefusion.recordings.mot import FrameTruth
from runtime.evaluate.result import EntryTracking, Tracking
from runtime.evaluate.tracker import DESCRIPTION, LEAST_SCORE, Tracker

LEAST_OVERLAP = 0.5

Film = Sequence[Detections]
"""What was found in each frame of a clip."""


def tracking_result(
    films: Mapping[str, Film], truths: Sequence[FrameTruth] | None, *,
    matched: Mapping[str, str], source: str | None, fps: float,
) -> Tracking:  # fmt: skip
    """Follow what was found in every entry's frames, each class by itself.

    Args:
        films: entry's name -> its detections; of the detector's own classes.
        truths: the true boxes of each frame, or None if they are not known.
        matched: label class by detector class: what is tracked; empty for every class as the detector calls it.
        source: where true identities come from.
        fps: frames a second.
    """
    followed = {name: _followed(film, matched, fps) for name, film in films.items()}
    classes = sorted(set(matched.values()) if matched else {name for tracks in followed.values() for name in tracks})
    return Tracking(
        tracker=DESCRIPTION,
        least_score=LEAST_SCORE,
        truth=source,
        classes=classes,
        entries={name: _entry(tracks, truths, classes) for name, tracks in followed.items()},
    )


def _followed(film: Film, matched: Mapping[str, str], fps: float) -> dict[str, list[Tracked]]:
    """Tracks of each class, with identities that no two classes share."""
    own = {str(name) for found in film for name in np.asarray(found.classes)[found.scores >= LEAST_SCORE]}
    names = {name: matched.get(name) for name in own} if matched else {name: name for name in own}
    tracks, first = {}, 1
    for label in sorted({label for label in names.values() if label}):
        of_class = [name for name in own if names[name] == label]
        tracker = Tracker(fps=fps, first=first)
        tracks[label] = [_next(tracker, found, of_class) for found in film]
        first = tracker.next_identity
    return tracks


def _next(tracker: Tracker, found: Detections, names: Sequence[str]) -> Tracked:
    one = found.where(np.isin(found.classes, names))
    return tracker(one.boxes_px, one.scores)


def _entry(
    tracks: Mapping[str, list[Tracked]], truths: Sequence[FrameTruth] | None, classes: Sequence[str]
) -> EntryTracking:
    lengths = Counter(int(identity) for clip in tracks.values() for frame in clip for identity in frame.identities)
    median = float(np.median([*lengths.values()])) if lengths else 0.0
    if truths is None:
        return EntryTracking(tracks=len(lengths), median_frames=median)
    scores = [_scores(tracks.get(name), truths, name) for name in classes]
    sums = {key: sum(getattr(each, key) for each in scores)
            for key in ("truths", "matches", "misses", "false_positives", "switches")}  # fmt: skip
    whole = TrackingScores(frames=len(truths), **sums)
    return EntryTracking(tracks=len(lengths), median_frames=median, **sums, accuracy=whole.accuracy)


def _scores(tracks: Sequence[Tracked] | None, truths: Sequence[FrameTruth], name: str) -> TrackingScores:
    """CLEAR MOT of one class."""
    nothing = Tracked(np.zeros((0, 4)), np.zeros(0, np.int64))
    together = zip(truths, tracks or [nothing] * len(truths), strict=True)
    judged = [_judged(truth, track, name) for truth, track in together]
    return clear_mot([truth for truth, _ in judged], [track for _, track in judged], least_overlap=LEAST_OVERLAP)


def _judged(frame: FrameTruth, track: Tracked, name: str) -> tuple[Tracked, Tracked]:
    """What of a frame is judged: true boxes but for the hidden ones, and tracks but for those that cover such a one."""
    of_class = np.asarray(frame.truth.classes) == name
    boxes, hidden = frame.truth.boxes_px[of_class], frame.truth.crowd[of_class]
    keep = ~_covering(track.boxes_px, boxes, hidden)
    truth = Tracked(boxes[~hidden], frame.identities[of_class][~hidden])
    return truth, Tracked(track.boxes_px[keep], track.identities[keep])


def _covering(
    tracks: npt.NDArray[np.float64], truths: npt.NDArray[np.float64], hidden: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which tracks cover a hidden truth rather than one to be found, [tracks]: they are neither right nor wrong."""
    overlap = intersection_over_union(tracks, truths)
    rows, columns = linear_sum_assignment(np.where(overlap >= LEAST_OVERLAP, overlap, 0.0), maximize=True)
    covering = np.zeros(len(tracks), bool)
    covering[rows] = (overlap[rows, columns] >= LEAST_OVERLAP) & hidden[columns]
    return covering
