"""The constant time offset between the cameras, from what moves: edges in motion are where they are in both at once.

Each frame becomes a small map of what changed since the frame before the last, seen through the registration. Whatever
stays, hot or bright, is not in it, and no modality's polarity matters. The maps of both cameras are compared at every
lag, and the lag at which they agree is the offset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig import views
from edgefusion.core.frames import FramePair
from edgefusion.core.geometry import Registration, Size, scale_of

Floats = npt.NDArray[np.float32]

MAP_PX = 80
"""Width of a map."""

GAP, STEADY = 2, 31
"""Frames between the two that are compared; frames over which what always moves is averaged, and left out."""

MOST_LAG, MOST_FRAMES, LEAST_FRAMES = 15, 900, 60
"""Lags that are tried, either way, in frames; frames that are looked at, at most and at least."""

LEAST_PEAK, LEAST_RATIO = 0.06, 1.6
"""How well the maps must agree, -1..1, and by how many times better than at any lag well apart."""

APART, PARTS, LEAST_UNCERTAINTY, MOST_SPREAD = 4, 3, 0.1, 1.5
"""Lags that count as well apart; parts that are looked at alone; in frames, how sure a lag is at best, and how far the
parts may differ."""


TIMED = 60
"""Pairs whose timestamps tell the thermal camera's rate, and how far apart the frames of a pair are stamped."""


@dataclass(frozen=True)
class Offset:
    """The time offset.

    Attributes:
        offset_ns: to add to the timestamps of thermal frames, so that equal times are of one moment.
        uncertainty_ns: standard deviation of that, from parts of the recording.
        lag_frames: of the thermal frames against their partners: with +1, thermal shows the moment a frame later.
        peak: agreement of the two cameras' motion at that lag, -1..1.
        curve: agreement at each lag from ``-MOST_LAG`` to ``MOST_LAG``; empty where nothing was compared.
        doubt: why this is no measurement, as a clause; empty if it is one.
    """

    offset_ns: int
    uncertainty_ns: int
    lag_frames: float
    peak: float
    curve: tuple[float, ...]
    doubt: str = ""


def known_lag(pairs: Iterable[FramePair], offset_ns: int) -> int:
    """How many frames later thermal is to be taken where its time offset is known: ``Offset.lag_frames``, whole.

    Args:
        pairs: of a drive, in order, with the cameras' own timestamps; the first few seconds are looked at.
        offset_ns: ``Offset.offset_ns``.
    """
    stamps = [(each.visible.timestamp_ns, each.thermal.timestamp_ns) for each in islice(pairs, TIMED)]
    if len(stamps) < 2:
        return 0
    visible, thermal = np.array(stamps, np.int64).T
    period_ns = float(np.median(np.diff(thermal)))
    return round((float(np.median(visible - thermal)) - offset_ns) / period_ns) if period_ns > 0 else 0


def time_offset(pairs: Iterable[FramePair], registration: Registration) -> Offset:
    """How much later or earlier thermal shows what visible shows.

    Args:
        pairs: of a drive, in order, every frame of it; about ten seconds with something in motion.
        registration: for their sizes, right to a few pixels.
    """
    film = _Film(registration)
    for number, pair in enumerate(pairs):
        if number == MOST_FRAMES:
            break
        film.add(pair)
    if len(film.stamps_ns) < LEAST_FRAMES:
        return _none(f"{len(film.stamps_ns)} frames are too few, at least {LEAST_FRAMES} are needed")
    return _measured(film)


class _Film:
    """Small images of both cameras, thermal as visible would see it."""

    def __init__(self, registration: Registration) -> None:
        self._registration = registration
        self._lookups: dict[tuple[Size, ...], tuple[Floats, Floats]] = {}
        self.visible: list[Floats] = []
        self.thermal: list[Floats] = []
        self.stamps_ns: list[tuple[int, int]] = []

    def add(self, pair: FramePair) -> None:
        size = pair.visible.size_px
        small = (MAP_PX * 2, max(round(MAP_PX * 2 * size[1] / size[0]), 2))
        self.visible.append(_small(views.grey(pair.visible).astype(np.float32), small))
        self.thermal.append(self._seen(views.grey(pair.thermal).astype(np.float32), size, small))
        self.stamps_ns.append((pair.visible.timestamp_ns, pair.thermal.timestamp_ns))

    def _seen(self, plane: Floats, visible: Size, small: Size) -> Floats:
        shrunk = (max(round(plane.shape[1] * small[0] / visible[0] / scale_of(self._registration.matrix)), 2), 0)
        shrunk = (shrunk[0], max(round(plane.shape[0] * shrunk[0] / plane.shape[1]), 2))
        thermal = (plane.shape[1], plane.shape[0])
        if shrunk[0] < thermal[0]:
            plane = _small(plane, shrunk)
        else:
            shrunk = thermal
        sizes = visible, small, thermal, shrunk
        if sizes not in self._lookups:
            here = self._registration.scaled(visible=(visible, small), thermal=(thermal, shrunk))
            self._lookups[sizes] = here.lookup(small)
        return np.asarray(cv2.remap(plane, *self._lookups[sizes], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _small(plane: Floats, size: Size) -> Floats:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _maps(images: list[Floats]) -> Floats:
    """[N, P] of what changes, each map of mean 0 and length 1, or all 0 where hardly anything does."""
    soft = [cv2.GaussianBlur(each, (0, 0), 1.0) for each in images]
    size = (images[0].shape[1] // 2, images[0].shape[0] // 2)
    changes = [_small(np.abs(after - before), size).ravel() for before, after in zip(soft, soft[GAP:], strict=False)]
    maps = np.sqrt(np.array(changes))
    maps -= _steady(maps)
    maps -= maps.mean(axis=1, keepdims=True)
    length = np.linalg.norm(maps, axis=1, keepdims=True)
    moving = length > 0.3 * np.median(length)
    return np.asarray(np.where(moving, maps / np.maximum(length, 1e-9), 0), np.float32)


def _steady(maps: Floats) -> Floats:
    """Average over the ``STEADY`` frames around each."""
    total = np.cumsum(np.pad(maps.astype(np.float64), ((1, 0), (0, 0))), axis=0)
    number = np.arange(len(maps))
    first, last = np.maximum(number - STEADY // 2, 0), np.minimum(number + STEADY // 2 + 1, len(maps))
    return np.asarray((total[last] - total[first]) / (last - first)[:, None], np.float32)


def _curve(visible: Floats, thermal: Floats) -> npt.NDArray[np.float64]:
    """Mean agreement of the maps at each lag."""
    found = []
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        left = visible[max(0, -lag) : len(visible) - max(0, lag)]
        right = thermal[max(0, lag) : len(thermal) - max(0, -lag)]
        found.append(float((left * right).sum(axis=1).mean()))
    return np.array(found)


def _top(curve: npt.NDArray[np.float64]) -> float:
    """The lag of its highest point, between lags by the parabola through three."""
    best = int(np.argmax(curve))
    if not 0 < best < len(curve) - 1:
        return float(best - MOST_LAG)
    before, top, after = curve[best - 1 : best + 2]
    return float(best - MOST_LAG + (before - after) / (2 * (before - 2 * top + after)))


def _measured(film: _Film) -> Offset:
    visible, thermal = _maps(film.visible), _maps(film.thermal)
    curve = _curve(visible, thermal)
    lag, peak, best = _top(curve), float(curve.max()), int(np.argmax(curve))
    elsewhere = np.delete(curve, slice(max(best - APART, 0), best + APART + 1))
    lags = [
        _top(_curve(*both)) for both in zip(*(np.array_split(each, PARTS) for each in (visible, thermal)), strict=True)
    ]
    spread = float(np.std(lags))
    stamps = np.array(film.stamps_ns, np.int64)
    period_ns = float(np.median(np.diff(stamps[:, 1])))
    offset_ns = float(np.median(stamps[:, 0] - stamps[:, 1])) - lag * period_ns
    unsure_ns = max(spread / np.sqrt(PARTS), LEAST_UNCERTAINTY) * period_ns
    doubt = _doubt(peak, float(elsewhere.max()), best, spread)
    return Offset(round(offset_ns), round(unsure_ns), lag, peak, tuple(map(float, curve)), doubt)


def _doubt(peak: float, elsewhere: float, best: int, spread: float) -> str:
    if peak < LEAST_PEAK or peak < LEAST_RATIO * elsewhere:
        return f"what moves in the two cameras agrees by {peak:.2f} at best: too little is in motion, or it is unlike"
    if best in (0, 2 * MOST_LAG):
        return f"the cameras are {MOST_LAG} frames apart or more"
    if spread > MOST_SPREAD:
        return f"parts of the recording disagree by {spread:.1f} frames"
    return ""


def _none(doubt: str) -> Offset:
    return Offset(0, 0, 0.0, 0.0, (), doubt)
