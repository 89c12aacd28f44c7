"""Pictures of the page: thermal laid over visible, before and after; the target's points on what the cameras saw."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from calibrate.rig.job import Result
from calibrate.rig.survey import Looked, Survey
from edgefusion.core.geometry import Registration, Size
from edgefusion.core.rig import registered
from edgefusion.recordings.pairing import SIDES, Side

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

WIDTH_PX, QUALITY = 360, 72
MARK = (255, 200, 0)


@dataclass(frozen=True)
class Picture:
    """A caption, and one or two images as data URIs: before and after, or visible and thermal."""

    caption: str
    images: list[tuple[str, str]]


def of_target(looked: Looked, result: Result) -> Picture:
    """A frame of a target: under the registration before, where there was one, and as calibrated, at the board."""
    left, right = (_decoded(looked.pictures[side]) for side in SIDES)
    across, down = _at_board(looked, result)
    images = [("as calibrated, where the board is", _uri(_laid(left, right, across, down)))]
    if result.before is not None:
        images.insert(0, ("before", _uri(blend(left, right, result.before))))
    return Picture(looked.name, images)


def _at_board(looked: Looked, result: Result) -> tuple[Floats, Floats]:
    """Where thermal sees each visible pixel, [H, W] x and y, if it shows the board's plane."""
    seen, geometry = looked.of("visible"), result.solution.geometry
    lens = geometry.visible
    rotation, offset = lens.pose(result.survey.target.points_m[seen.numbers], seen.points_px)
    normal = rotation[:, 2]
    rays = lens.rays(lens.grid)
    depth = (normal @ offset) / np.where(np.abs(rays @ normal) < 1e-6, 1e-6, rays @ normal)
    thermal = geometry.thermal.pixels((rays * depth[:, None]) @ geometry.rotation.T + geometry.translation_m)
    thermal[depth <= 0] = -1e4
    count = round(np.sqrt(len(thermal)))
    coarse = thermal.reshape(count, count, 2).astype(np.float32)
    x, y = (np.linspace(0, count - 1, side, dtype=np.float32) for side in lens.size_px)
    fine = cv2.remap(coarse, *np.meshgrid(x, y), cv2.INTER_LINEAR)
    return np.ascontiguousarray(fine[..., 0]), np.ascontiguousarray(fine[..., 1])


def of_pair(
    pictures: tuple[bytes, bytes],
    before: Registration | None,
    after: Registration,
    sizes: tuple[Size, Size],
    caption: str,
) -> Picture:
    """A pair of a drive under two registrations."""
    left, right = (_decoded(each) for each in pictures)
    start = registered(*sizes) if before is None else before
    named = "as if both saw the same" if before is None else "as the rig has it"
    return Picture(
        caption, [(named, _uri(blend(left, right, start))), ("as measured", _uri(blend(left, right, after)))]
    )


def as_seen(pictures: tuple[bytes, bytes], caption: str) -> Picture:
    """A pair as both cameras saw it, side by side."""
    images = [np.repeat(_decoded(each)[..., None], 3, axis=2) for each in pictures]
    return Picture(caption, [(side, _uri(image)) for side, image in zip(SIDES, images, strict=True)])


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


def blend(visible: Bytes, thermal: Bytes, registration: Registration) -> Bytes:
    """[H, W, 3]: edges of thermal in orange over visible in grey, where thermal sees."""
    return _laid(visible, thermal, *registration.lookup((visible.shape[1], visible.shape[0])))


def _laid(visible: Bytes, thermal: Bytes, across: Floats, down: Floats) -> Bytes:
    warped = cv2.remap(thermal, across, down, cv2.INTER_LINEAR).astype(np.float32)
    inside = cv2.remap(np.ones_like(thermal), across, down, cv2.INTER_NEAREST).astype(np.float32)
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
