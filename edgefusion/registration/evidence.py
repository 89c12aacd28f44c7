"""Whether an estimate is one: what chance would not bring about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgefusion.core.geometry import Matrix
from edgefusion.registration.levels import Level
from edgefusion.registration.projective import Mapping
from edgefusion.registration.surfaces import Surfaces, surfaces

SIDE_PX, BLOCK_PX, RADIUS_PX, NEAR_PX = 320, 40, 14, 2
"""Working size, and the shifts over which a block's best match is sought and has to lie."""

LEAST_MATCH = 0.08
"""Of a block that has anything to say."""

LEAST_BLOCKS = 12


def support(levels: Sequence[Level], mapping: Mapping) -> float:
    """The share of blocks that, looked at alone, match best where the map says, 0..1.

    Of unrelated pictures it is a twentieth or a tenth: 25 of 841 shifts are near, and the map was chosen to suit.

    Args:
        levels: pairs at SIDE_PX.
        mapping: at that size.
    """
    return agreement(surfaces(levels, mapping, block_px=BLOCK_PX, radius_px=RADIUS_PX))


def agreement(given: Surfaces, *, around: Matrix | None = None) -> float:
    """``support`` of surfaces that are there.

    Args:
        given: the surfaces.
        around: [B, 2] where each block's match should lie; by default where it is.
    """
    speaking = given.values.max(axis=(1, 2)) > LEAST_MATCH
    return float(agreeing(given, around=around).sum() / max(int(speaking.sum()), LEAST_BLOCKS))


def agreeing(given: Surfaces, *, around: Matrix | None = None) -> npt.NDArray[np.bool_]:
    """[B] whether each block has a match and has it where it should lie."""
    count, side, _ = given.values.shape
    best = given.values.reshape(count, -1).argmax(axis=1)
    found = np.column_stack([best % side, best // side]) - given.radius_px
    off = np.abs(found - (0 if around is None else around)).max(axis=1)
    return np.asarray((off <= NEAR_PX) & (given.values.max(axis=(1, 2)) > LEAST_MATCH))
