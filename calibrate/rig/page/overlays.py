"""Pictures of the page: thermal laid over visible, before and after; the target's points on what the cameras saw."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.job import Result
from calibrate.rig.survey import SIDES, Looked, Survey
from edgefusion.core.geometry import Matrix, Size, resize_map
from edgefusion.recordings.pairing import Side

Bytes = npt.NDArray[np.uint8]

WIDTH_PX, QUALITY = 360, 72
MARK = (255, 200, 0)


@dataclass(frozen=True)
class Picture:
    """A caption, and one or two images as data URIs: before and after, or visible and thermal."""

    caption: str
    images: list[tuple[str, str]]


def spread(items: Sequence[int], count: int) -> list[int]:
    """At most so many, evenly spread."""
    places = sorted({int(at) for at in np.linspace(0, len(items) - 1, count)}) if items else []
    return [items[place] for place in places]


def of_target(looked: Looked, result: Result) -> Picture:
    """A frame of a target: under the registration before, where there was one, and at the board's own distance."""
    left, right = (_decoded(looked.pictures[side]) for side in SIDES)
    far = _distance_m(looked, result)
    own = result.solution.geometry.registration(far)
    images = [(f"right at the board's {far:.2f} m", _uri(blend(left, right, own)))]
    if result.before is not None:
        images.insert(0, ("before", _uri(blend(left, right, result.before))))
    return Picture(looked.name, images)


def _distance_m(looked: Looked, result: Result) -> float:
    """Of the board, along the visible camera's axis."""
    seen, lens = looked.of("visible"), result.solution.geometry.visible
    points = result.survey.target.points_m[seen.numbers].astype(np.float64)
    _, turn, moved = cv2.solvePnP(points, seen.points_px, lens.matrix, np.array(lens.distortion))
    return float((points @ cv2.Rodrigues(turn)[0].T + np.ravel(moved))[:, 2].mean())


def of_pair(
    pictures: tuple[bytes, bytes], before: Matrix | None, after: Matrix, sizes: tuple[Size, Size], caption: str
) -> Picture:
    """A pair of a drive under two registrations."""
    left, right = (_decoded(each) for each in pictures)
    start = resize_map(*sizes) if before is None else before
    named = "as if both saw the same" if before is None else "as the rig has it"
    return Picture(
        caption, [(named, _uri(blend(left, right, start))), ("as measured", _uri(blend(left, right, after)))]
    )


def best(survey: Survey) -> list[Picture]:
    """The frame in which each camera sees the target best, or the first one."""
    found = []
    for side in SIDES:
        top = max(survey.looked, key=lambda each: each.sharpness[side])
        words = f"{top.name}, best for {side}" if top.seen[side] else f"{top.name}: {side} sees no target in any frame"
        found.append(Picture(words, [(each, _uri(marked(top, each))) for each in SIDES]))
    return found


def marked(looked: Looked, side: Side) -> Bytes:
    """What a camera saw, with the target's points."""
    image = np.repeat(_decoded(looked.pictures[side])[..., None], 3, axis=2)
    seen = looked.seen[side]
    for x, y in seen.points_px if seen else ():
        cv2.circle(image, (round(16 * x), round(16 * y)), 48, MARK, 1, cv2.LINE_AA, 4)
    return image


def blend(visible: Bytes, thermal: Bytes, registration: Matrix) -> Bytes:
    """[H, W, 3]: edges of thermal in orange over visible in grey, where thermal sees."""
    size = (visible.shape[1], visible.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpPerspective(thermal, registration, size, flags=flags).astype(np.float32)
    inside = cv2.warpPerspective(np.ones_like(thermal), registration, size, flags=flags).astype(np.float32)
    soft = cv2.GaussianBlur(warped, (0, 0), 1.2)
    edges = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))
    edges *= cv2.erode(inside, np.ones((9, 9)))
    strength = np.clip(edges / max(float(np.percentile(edges, 97)), 1.0), 0, 1)[..., None]
    dim = visible[..., None].astype(np.float32) * 0.75
    return np.asarray(dim * (1 - strength) + np.array([255, 120, 20]) * strength + 0.5).astype(np.uint8)


def _decoded(data: bytes) -> Bytes:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def _uri(image: Bytes) -> str:
    scale = min(WIDTH_PX * 1.6 / image.shape[1], 1.0)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _, data = cv2.imencode(".webp", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return f"data:image/webp;base64,{base64.b64encode(bytes(data)).decode()}"
