"""What cannot be registered, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, resize_map, scale_of
from edgefusion.registration import evidence
from edgefusion.registration.coarse import Search
from edgefusion.registration.features import Image, richness
from edgefusion.registration.levels import Pair, View, view
from edgefusion.registration.projective import Mapping, Model
from edgefusion.registration.refine import SECOND, Candidate, candidates, refine, spread

LEAST_SUPPORT = 0.22
"""Share of the blocks that must agree: unrelated pictures reach 0.15, the hardest related ones 0.31."""

CLEAR_SUPPORT = 0.35
"""With so many, thermal is the right way round without further tests: mirrored it would not get near."""

LEAST_RICHNESS = 0.004
"""Share of pixels with an edge that an image must have."""

POSES: dict[str, Callable[[Any], Any]] = {
    "mirrored left to right": lambda image: image[:, ::-1],
    "mirrored top to bottom": lambda image: image[::-1],
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
    "turned by 90 degrees clockwise": lambda image: np.rot90(image, 1),
    "turned by 90 degrees counterclockwise": lambda image: np.rot90(image, -1),
    "mirrored and turned by 90 degrees clockwise": lambda image: np.rot90(image, 1)[:, ::-1],
    "mirrored and turned by 90 degrees counterclockwise": lambda image: np.rot90(image, -1)[:, ::-1],
}
"""What thermal may suffer, and what undoes it."""

POSE_SEARCH = Search(turns_deg=(-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0), scales=(0.93, 1.0, 1.08), shift=0.2)
POSE_PAIRS = 3


@dataclass(frozen=True)
class Rejected:
    """A pair that was not used.

    Attributes:
        index: its place among those given.
        reason: a clause.
    """

    index: int
    reason: str


def usable(given: Sequence[tuple[Image, Image]]) -> tuple[list[tuple[int, Pair]], list[Rejected]]:
    """The pairs that show something, with their places, and the others.

    Raises:
        InputError: none is left, or their sizes differ.
    """
    kept: list[tuple[int, Pair]] = []
    rejected: list[Rejected] = []
    for index, (visible, thermal) in enumerate(given):
        pair = Pair(view(visible, where=f"visible image {index}"), view(thermal, where=f"thermal image {index}"))
        if reason := blank(_small(pair.visible), _small(pair.thermal)):
            rejected.append(Rejected(index, reason))
        else:
            kept.append((index, pair))
    if not kept:
        raise _nothing(rejected)
    _check_sizes(kept)
    return kept, rejected


def blank(visible: View, thermal: View) -> str:
    """Why a pair at a working size has nothing to register, as a clause; empty if it has."""
    poor = [
        side
        for side, each in (("visible", visible), ("thermal", thermal))
        if richness(each.plane, each.seen) < LEAST_RICHNESS
    ]
    return f"nothing to register in {' and '.join(poor)}: hardly an edge" if poor else ""


def _small(image: View) -> View:
    factor = min(320 / max(image.size_px), 1.0)
    return image.at((round(image.size_px[0] * factor), round(image.size_px[1] * factor)))


def _nothing(rejected: Sequence[Rejected]) -> InputError:
    if not rejected:
        return InputError("no pair of images to register", remedy="give at least one")
    return InputError(
        f"nothing to register in {len(rejected)} pairs; the first: {rejected[0].reason}",
        remedy="record a scene with edges that both cameras see: buildings, kerbs, people, vehicles",
    )


def _check_sizes(kept: Sequence[tuple[int, Pair]]) -> None:
    first = kept[0][1]
    for index, pair in kept:
        if pair.visible.size_px != first.visible.size_px or pair.thermal.size_px != first.thermal.size_px:
            raise InputError(
                f"pair {index} has other sizes than pair {kept[0][0]}",
                remedy="register images of one rig in one mode together",
            )


def support(pairs: Sequence[Pair], mapping: Mapping) -> float:
    """Of a map between the images' own pixels: ``evidence.support``."""
    levels = [pair.at(evidence.SIDE_PX, scale_of(mapping.matrix)) for pair in spread(pairs, 10)]
    return evidence.support(levels, levels[0].here(mapping))


def expected(pair: Pair) -> Matrix:
    """[3, 3] of cameras that see the same view."""
    return resize_map(pair.visible.size_px, pair.thermal.size_px)


def check_pose(pairs: Sequence[Pair], upright: float) -> None:
    """Refuse thermal that matches better when it is turned or mirrored.

    Args:
        pairs: the pairs.
        upright: the support found as they are.

    Raises:
        InputError: thermal is mirrored or turned; it says how.
    """
    found = dict(_supports(spread(pairs, POSE_PAIRS)))
    name = max(found, key=lambda each: found[each], default="")
    if found and found[name] > max(LEAST_SUPPORT, 1.2 * upright):
        raise InputError(
            f"the thermal images are {name}", where="thermal",
            remedy="turn them back in the camera's settings (flip, rotate) or in the recording",
        )  # fmt: skip


def _supports(pairs: Sequence[Pair]) -> Iterator[tuple[str, float]]:
    """Of the poses that look best at the smallest size, the support."""
    model: Model = "homography"
    found: list[tuple[str, list[Pair], Candidate]] = []
    for name, undo in POSES.items():
        turned = [Pair(pair.visible, _posed(pair.thermal, undo)) for pair in pairs]
        best = candidates(turned, expected(turned[0]), search=POSE_SEARCH, model=model, most=2, pool=2)
        found += [(name, turned, each) for each in best[:1]]
    for name, turned, each in sorted(found, key=lambda one: -one[2].score)[:2]:
        yield name, support(turned, refine(turned, each, SECOND, model=model).mapping)


def _posed(image: View, undo: Callable[[Any], Any]) -> View:
    return View(np.ascontiguousarray(undo(image.plane)), np.ascontiguousarray(undo(image.seen)))


def unrelated(found: float, pairs: int) -> InputError:
    """The refusal of pictures that do not show the same."""
    return InputError(
        f"no overlap found between visible and thermal in {pairs} pairs: the best map suits {found:.0%} of the image,"
        f" where chance suits 5 to 15 %",
        remedy="check that both cameras look at the same scene at the same time; give more pairs, or a rougher rig as"
        " the start",
    )
