"""Choosing unlike frames: farthest-first traversal (Gonzalez 1985), in turn by day and by night.

Each frame chosen is the one farthest from all chosen before it. That covers the recording to within twice the best
radius that any choice of so many frames can reach (k-centre), needs no clustering, and its first N frames are the
choice for N. T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theor. Comput. Sci. 38, 1985.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibrate.frames.descriptor import GROUPS, SCENE

Floats = npt.NDArray[np.float32]

SMALLEST_SPREAD = 1 / 255
"""A part of the descriptor that varies by less is not scaled up: under a grey level there is only noise."""

NEAR_DUPLICATE = 0.5 / 255
"""Frames are near-duplicates if no cell of their two thumbnails differs by more: as 8-bit pictures they were equal."""

START = "start"


@dataclass(frozen=True)
class Choice:
    """A chosen frame.

    Attributes:
        index: of the frame.
        group: the part of the descriptor that sets it apart most from its nearest among those before, or ``START``.
        distance: to that one.
    """

    index: int
    group: str
    distance: float


def standardised(descriptors: Floats) -> Floats:
    """[N, 104] with each group of columns centred and brought to a total variance of one, so that each counts alike."""
    points: Floats = descriptors - descriptors.mean(0)
    for name, columns in GROUPS.items():
        if name.endswith("scene"):  # what is where: how bright it all is stands in another group
            points[:, columns] -= points[:, columns].mean(1, keepdims=True)
        spread = float(np.sqrt(np.square(points[:, columns]).sum(1).mean()))
        points[:, columns] /= max(spread, SMALLEST_SPREAD)
    return points


class Chooser:
    """Chooses among frames of these descriptors [N, 104].

    Args:
        descriptors: one row a frame.
        strata: [N], the stratum of each frame. The next frame is of the stratum with the fewest so far, as long as it
            has any that is no near-duplicate: rare ones get their share, plentiful ones what is left.
    """

    def __init__(self, descriptors: Floats, strata: Sequence[str]) -> None:
        self._points, self._scenes = standardised(descriptors), descriptors[:, SCENE]
        self._strata, self._taken = np.array(strata), dict.fromkeys(sorted(set(strata)), 0)
        count = len(descriptors)
        self._distance, self._nearest = np.full(count, np.inf, np.float32), np.zeros(count, int)
        self._alike, self._chosen = np.zeros(count, bool), np.zeros(count, bool)

    def choose(self, count: int, *, seed: int) -> list[Choice]:
        """Up to ``count`` frames, best first; fewer where all others are near-duplicates of these."""
        first = int(np.random.default_rng(seed).integers(len(self._points)))
        made = [self._take(Choice(first, START, 0.0))]
        while len(made) < count and (choice := self._next()):
            made.append(self._take(choice))
        return made

    @property
    def near_duplicates(self) -> int:
        """How many frames were not chosen and are too much like one that was."""
        return int((self._alike & ~self._chosen).sum())

    def _next(self) -> Choice | None:
        for stratum in sorted(self._taken, key=self._taken.__getitem__):
            open_ = (self._strata == stratum) & ~self._alike
            if open_.any():
                index = int(np.where(open_, self._distance, -1).argmax())
                return Choice(index, self._apart(index), float(self._distance[index]))
        return None

    def _apart(self, index: int) -> str:
        difference = np.square(self._points[index] - self._points[self._nearest[index]])
        return max(GROUPS, key=lambda name: float(difference[GROUPS[name]].sum()))

    def _take(self, choice: Choice) -> Choice:
        index = choice.index
        distance = np.sqrt(np.square(self._points - self._points[index]).sum(1))
        nearer = distance < self._distance
        self._distance[nearer], self._nearest[nearer] = distance[nearer], index
        self._alike |= np.abs(self._scenes - self._scenes[index]).max(1) <= NEAR_DUPLICATE
        self._chosen[index] = True
        self._taken[str(self._strata[index])] += 1
        return choice


def spread_evenly(count: int, total: int) -> list[int]:
    """``count`` of ``total`` places in order, in the middle of equal parts."""
    return [(2 * part + 1) * total // (2 * count) for part in range(count)]
