"""How steady a clip is: what changes from frame to frame and is not motion.

After Lai et al., "Learning blind video temporal consistency", ECCV 2018 (warping error), with the consistency test of
Sundaram, Brox and Keutzer, "Dense point trajectories by GPU-accelerated large displacement optical flow", ECCV 2010,
and DIS optical flow (Kroeger et al., ECCV 2016). Here the residual is the mean absolute one, in grey levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError

Bytes = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

LEAST_SEEN = 0.25
"""A step of which less than this share can be compared is a cut: there is no motion to compensate.

Of unrelated frames 0.06 to 0.2 can be, by chance and seldom more; of people in smoke seen by a moving camera 0.4 and
more. A cut may thus pass as a large step: split clips where you know of one.
"""

SMALLEST_PX = 16


@dataclass(frozen=True)
class FlickerResult:
    """Flicker of a clip, in grey levels 0..255.

    Attributes:
        mean: over the steps from frame to frame; 0 for a clip of one frame.
        p95: 95th percentile of the steps.
        steps: each step's mean absolute residual of luma.
        seen: the share of pixels of each step that could be compared.
        cuts: numbers of the frames, from 0, before which the scene changes; they have no step.
    """

    mean: float
    p95: float
    steps: tuple[float, ...] = field(repr=False)
    seen: tuple[float, ...] = field(repr=False)
    cuts: tuple[int, ...] = ()


def flicker(frames: Iterable[npt.ArrayLike], *, guide: Iterable[npt.ArrayLike] | None = None) -> FlickerResult:
    """Mean absolute change of luma along the motion, over pixels that are neither occluded nor on a motion border.

    A still clip without noise: 0. Steady noise of deviation s gives 2 s / sqrt(pi), a change of the whole image by d
    levels gives d. Motion found in the frames themselves follows their noise a little (3 % less at s = 10).

    Args:
        frames: [H,W] or RGB [H,W,3] uint8, of one size; two are held at a time.
        guide: as ``frames``, aligned with them: the frames in which motion is estimated. By default ``frames``.

    Raises:
        UsageError: no frame, frames of different or too small size or of another type, or a guide of another length.
    """
    together = ((frame, frame) for frame in frames) if guide is None else _in_step([guide, frames])
    return _measured(together, 1)[0]


def flickers(
    clips: Mapping[str, Iterable[npt.ArrayLike]], *, guide: Iterable[npt.ArrayLike]
) -> dict[str, FlickerResult]:
    """``flicker`` of several aligned clips by one guide, whose motion is estimated once: comparable figures.

    Take as guide the clip in which the scene is seen best; it may be one of the clips, read a second time. What moves
    in a clip and cannot be seen in the guide counts as flicker.

    Raises:
        UsageError: as ``flicker``.
    """
    return dict(zip(clips, _measured(_in_step([guide, *clips.values()]), len(clips)), strict=True))


def _in_step(clips: Sequence[Iterable[npt.ArrayLike]]) -> Iterator[tuple[npt.ArrayLike, ...]]:
    try:
        yield from zip(*clips, strict=True)
    except ValueError as error:
        raise UsageError(f"the clips differ in length ({error})", remedy="give each the same frames") from error


def _measured(together: Iterable[tuple[npt.ArrayLike, ...]], clips: int) -> list[FlickerResult]:
    """From tuples of the guide's frame and each clip's."""
    steps: list[list[float]] = []
    seen: list[float] = []
    cuts: list[int] = []
    before: list[Bytes] = []
    estimate = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # the fast one smears small movers
    for number, frames in enumerate(together):
        now = _lumas(frames, before)
        if before:
            came_from, known = _motion(before[0], now[0], estimate)
            if known.mean() < LEAST_SEEN:
                cuts.append(number)
            else:
                seen.append(float(known.mean()))
                pairs = zip(before[1:], now[1:], strict=True)
                steps.append([_residual(old, new, came_from, known) for old, new in pairs])
        before = now
    if not before:
        raise UsageError("no frame to measure flicker of")
    columns = zip(*steps, strict=True) if steps else [()] * clips
    return [_result(column, seen, cuts) for column in columns]


def _result(steps: Sequence[float], seen: Sequence[float], cuts: Sequence[int]) -> FlickerResult:
    mean, p95 = (float(np.mean(steps)), float(np.percentile(steps, 95))) if steps else (0.0, 0.0)
    return FlickerResult(mean, p95, tuple(steps), tuple(seen), tuple(cuts))


def _lumas(frames: Sequence[npt.ArrayLike], before: Sequence[Bytes]) -> list[Bytes]:
    first = _luma(frames[0])
    lumas = [first, *(first if frame is frames[0] else _luma(frame) for frame in frames[1:])]
    shapes = {luma.shape for luma in (*lumas, *before[:1])}
    if len(shapes) > 1:
        listed = " and ".join(f"{width}x{height}" for height, width in sorted(shapes))
        raise UsageError(f"frames of different sizes, {listed}", remedy="bring them to one size")
    return lumas


def _luma(frame: npt.ArrayLike) -> Bytes:
    pixels = np.asarray(frame)
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2) or min(pixels.shape[:2]) < SMALLEST_PX:
        raise UsageError(
            f"a frame of {pixels.dtype} {pixels.shape}",
            remedy=f"give uint8 [H,W] or [H,W,3] of {SMALLEST_PX} pixels a side or more",
        )
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if colour else pixels, np.uint8)


def _motion(before: Bytes, now: Bytes, estimate: Any) -> tuple[Flow, Mask]:
    """Where in ``before`` each pixel of ``now`` came from [H,W,2] (x, y), and where that is known [H,W]."""
    backward: Flow = estimate.calc(now, before, None)
    forward: Flow = estimate.calc(before, now, None)
    height, width = now.shape
    came_from = backward + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    within = ((came_from >= 0) & (came_from <= (width - 1, height - 1))).all(axis=2)
    return came_from, within & _consistent(backward, _sampled(forward, came_from)) & ~_border(backward)


def _residual(before: Bytes, now: Bytes, came_from: Flow, known: Mask) -> float:
    return float(np.abs(now - _sampled(before.astype(np.float32), came_from))[known].mean())


def _sampled(image: Flow, at: Flow) -> Flow:
    return np.asarray(cv2.remap(image, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)  # type: ignore[call-overload]


def _consistent(backward: Flow, forward: Flow) -> Mask:
    """Going back and forth again leads to where one was: nothing came in between (Sundaram et al., equation 5)."""
    return np.asarray(_square(backward + forward) < 0.01 * (_square(backward) + _square(forward)) + 0.5)


def _border(flow: Flow) -> Mask:
    """Where motion changes so fast that the flow is not to be trusted (Sundaram et al., equation 6)."""
    slopes = [_square(np.asarray(np.gradient(flow, axis=axis), np.float32)) for axis in (0, 1)]
    return np.asarray(slopes[0] + slopes[1] > 0.01 * _square(flow) + 0.002)


def _square(flow: Flow) -> Flow:
    """[H,W], squared length."""
    return np.asarray(flow[..., 0] ** 2 + flow[..., 1] ** 2)
