"""Looking through a recording for the target: what each camera sees of it, how sharp it is, and how fast it moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig import views
from calibrate.rig.detect import Detector, Sighting
from calibrate.rig.target import Target
from calibrate.rig.views import Bytes
from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Size
from edgefusion.core.progress import Advance
from edgefusion.recordings.pairing import SIDES, Side
from edgefusion.recordings.recording import Recording

_cv: Any = cv2
"""Its stubs allow no None where OpenCV takes one."""

MOST_LOOKED = 160
"""Frames of a recording that are searched, evenly spread: looking takes a fraction of a second each."""

UNKNOWN_STRIDE = 5
"""Where a recording does not say how long it is, every fifth frame is searched."""

Planes = dict[Side, npt.NDArray[np.generic]]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Looked:
    """A frame pair that was searched for the target.

    Attributes:
        index: its place in the recording.
        name: what to call it: a file's stem, or its place.
        seen: the target in each camera's image, None where it is not found.
        sharpness: of both images where the target is; 0 where it is not found.
        speed_px: how far the target moves in the visible image from one frame to the next; None of still images.
        pictures: both images, as JPEG.
    """

    index: int
    name: str
    seen: dict[Side, Sighting | None]
    sharpness: dict[Side, float]
    speed_px: float | None
    pictures: dict[Side, bytes]

    @property
    def both(self) -> bool:
        """Whether both cameras see the target."""
        return all(self.seen.values())

    def of(self, side: Side) -> Sighting:
        """What one camera sees, where it does."""
        found = self.seen[side]
        if found is None:
            raise LookupError(f"{side} does not see the target in frame {self.name}")
        return found


@dataclass(frozen=True)
class Survey:
    """All frames that were searched, and the sizes of both cameras' images."""

    looked: list[Looked]
    size_px: dict[Side, Size]
    target: Target

    def count(self, side: Side) -> int:
        """How many frames one camera sees the target in."""
        return sum(each.seen[side] is not None for each in self.looked)


def survey(recording: Recording, target: Target, advance: Advance) -> Survey:
    """Search a recording for the target.

    Raises:
        RecordingError: no frame, frames of different sizes, or whatever is wrong with the recording.
    """
    detectors: dict[Side, Detector] = {side: Detector(target) for side in SIDES}
    looked, sizes = [], None
    for pair, before, index in _candidates(recording, advance):
        own: dict[Side, Size] = {"visible": pair.visible.size_px, "thermal": pair.thermal.size_px}
        sizes = sizes or own
        if own != sizes:
            raise RecordingError(f"frame {pair.name or index} has another size", remedy="calibrate one mode at a time")
        looked.append(_look(pair, before, index, detectors))
    if sizes is None:
        raise RecordingError("the recording has no frame")
    return Survey(looked, sizes, target)


def _candidates(
    recording: Recording, advance: Advance
) -> Iterator[tuple[FramePair, npt.NDArray[np.generic] | None, int]]:
    """Each pair to search, the visible image of the frame before it where there is one, and its place."""
    stride = max(-(-recording.length // MOST_LOOKED), 1) if recording.length else UNKNOWN_STRIDE
    before = None
    for index, pair in enumerate(recording):
        advance(1)
        if index % stride == stride // 2:
            yield pair, before, index
        if recording.fps is not None and (index + 1) % stride == stride // 2:
            before = views.grey(pair.visible)


def _look(
    pair: FramePair, before: npt.NDArray[np.generic] | None, index: int, detectors: dict[Side, Detector]
) -> Looked:
    planes: Planes = {"visible": views.grey(pair.visible), "thermal": views.grey(pair.thermal)}
    images = {side: views.stretch(planes[side]) for side in SIDES}
    seen = {side: detectors[side].see(planes[side]) for side in SIDES}
    sharp = {side: views.sharpness(images[side], found.points_px) if found else 0.0 for side, found in seen.items()}
    found = seen["visible"]
    speed = _speed(before, planes["visible"], found) if before is not None and found else None
    return Looked(index, pair.name or f"{index}", seen, sharp, speed, {side: jpeg(images[side]) for side in SIDES})


def _speed(before: npt.NDArray[np.generic], now: npt.NDArray[np.generic], found: Sighting) -> float:
    """Pixels from one frame to the next; infinite where the target cannot be followed."""
    points = found.points_px.astype(np.float32)[:, None]
    images = [np.asarray(each if each.dtype == np.uint8 else views.stretch(each), np.uint8) for each in (now, before)]
    moved, followed, _ = _cv.calcOpticalFlowPyrLK(images[0], images[1], points, None, winSize=(21, 21), maxLevel=3)
    kept = followed.ravel() > 0
    if kept.mean() < 0.5:
        return float("inf")
    return float(np.median(np.linalg.norm((moved - points)[kept, 0], axis=1)))


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of them, evenly spread."""
    places = sorted({int(at) for at in np.linspace(0, len(items) - 1, most)}) if items else []
    return [items[place] for place in places]


def jpeg(image: Bytes) -> bytes:
    """An 8-bit image, kept small until the page shows it."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])
    if not done:
        raise RecordingError("an image cannot be kept")
    return bytes(data)
