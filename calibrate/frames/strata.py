"""What a set should cover, by the light, the thermal contrast and the motion of its frames, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibrate.frames.descriptor import LUMA, MOTION, THERMAL_CONTRAST
from edgefusion.core.frames import NIGHT_LUMA

Floats = npt.NDArray[np.float32]

LOW_CONTRAST, HIGH_CONTRAST = 0.1, 0.2
"""Standard deviation of the packed thermal picture: MSRS is mostly under both, M3SVD between, RoadScene mostly over."""

MOVING = 0.005
"""Mean change from frame to frame, of either modality: 1.3 grey levels. The parked cameras of M3SVD, with
people walking by, are under it; the simulated drive is over it."""

FEW = 0.01
"""A stratum with a smaller share of the frames is hardly covered."""


def motion_of(descriptors: Floats) -> Floats:
    """[N] mean change of the modality that changed more: at night only thermal may show that the rig moves."""
    return np.asarray(descriptors[:, MOTION].max(1), np.float32)


AXES: dict[str, Callable[[Floats], Floats]] = {
    "light": lambda found: np.asarray(found[:, LUMA], np.float32),
    "thermal contrast": lambda found: np.asarray(found[:, THERMAL_CONTRAST], np.float32),
    "motion": motion_of,
}
"""What strata are cut along: descriptors [N, 104] -> [N]."""


@dataclass(frozen=True)
class Stratum:
    """A kind of frames: those with ``low`` <= value < ``high`` along an axis.

    Attributes:
        axis: of ``AXES``.
        name: how it is called.
        low: smallest value.
        high: first value beyond.
        plural: the frames in words, after "no".
        otherwise: what follows where there are none; nothing if that is as well.
    """

    axis: str
    name: str
    low: float
    high: float
    plural: str
    otherwise: str = ""

    def members(self, descriptors: Floats) -> npt.NDArray[np.bool_]:
        """Which of descriptors [N, 104] are of it, as booleans [N]."""
        values = AXES[self.axis](descriptors)
        return np.asarray((values >= self.low) & (values < self.high))


_END = float("inf")
STRATA = (
    Stratum("light", "day", NIGHT_LUMA, _END, "day frames", "INT8 ranges will not hold by day"),
    Stratum("light", "night", 0, NIGHT_LUMA, "night frames", "INT8 ranges will not hold at night"),
    Stratum(
        "thermal contrast", "low", 0, LOW_CONTRAST, "frames of low thermal contrast",
        "INT8 steps may be too coarse in rain, in fog and where all is equally warm",
    ),
    Stratum("thermal contrast", "medium", LOW_CONTRAST, HIGH_CONTRAST, "frames of medium thermal contrast"),
    Stratum(
        "thermal contrast", "high", HIGH_CONTRAST, _END, "frames of high thermal contrast",
        "INT8 ranges may clip people and engines before a cold scene",
    ),
    Stratum("motion", "at rest", 0, MOVING, "frames at rest", "sharp, still scenes are not covered"),
    Stratum("motion", "moving", MOVING, _END, "frames in motion", "a driving rig's scenes are not covered"),
)  # fmt: skip


def strata_for(*, stills: bool) -> list[Stratum]:
    """The strata that make sense: still images have no motion."""
    return [stratum for stratum in STRATA if not (stills and stratum.axis == "motion")]


@dataclass(frozen=True)
class Row:
    """How many usable, chosen and holdout frames are of a stratum; usable ones leave the holdout's out."""

    axis: str
    name: str
    usable: int
    chosen: int
    holdout: int


def coverage(training: Floats, chosen: Sequence[int], holdout: Floats, *, stills: bool) -> list[Row]:
    """A row for each stratum.

    Args:
        training: descriptors [N, 104] of the frames that could be chosen.
        chosen: which of them were.
        holdout: descriptors of the holdout.
        stills: there is no motion.
    """
    found = []
    for stratum in strata_for(stills=stills):
        members = stratum.members(training)
        counts = int(members.sum()), int(members[list(chosen)].sum()), int(stratum.members(holdout).sum())
        found.append(Row(stratum.axis, stratum.name, *counts))
    return found


def lacks(rows: Sequence[Row], *, stills: bool) -> list[str]:
    """What the recordings do not have, or hardly, in words, with what follows from it."""
    found = []
    for stratum, row in zip(strata_for(stills=stills), rows, strict=True):
        total = sum(other.usable for other in rows if other.axis == row.axis)
        if stratum.otherwise and not row.usable:
            found.append(f"no {stratum.plural}: {stratum.otherwise}")
        elif stratum.otherwise and row.usable < FEW * total:
            found.append(f"hardly any {stratum.plural} ({row.usable} of {total}): {stratum.otherwise}")
        elif row.axis == "light" and row.chosen and not row.holdout:
            found.append(f"no {stratum.plural} in the holdout: what INT8 costs them cannot be judged")
    return found
