"""Drawing pictures again for a bootstrap: one by one, or in blocks where they are frames in a row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def fitting_block(pictures: int, block: int) -> int:
    """The block's length, or a quarter of a clip shorter than four of them: of a single block nothing can be learnt."""
    return max(min(block, pictures // 4), 1)


def draw_counts(draw: np.random.Generator, pictures: int, block: int = 1) -> npt.NDArray[np.int64]:
    """How often each picture counts in one draw of as many, [pictures].

    Frames in a row are alike: they are drawn as blocks that start anywhere (Künsch, Annals of Statistics 17, 1989), the
    clip closed to a ring so that each frame counts alike (Politis and Romano, in "Exploring the limits of bootstrap",
    1992). The last block is cut.

    Args:
        draw: the random numbers.
        pictures: how many there are.
        block: so many in a row depend on each other; 1 where each stands for itself.
    """
    starts = draw.integers(pictures, size=-(-pictures // block))
    places = (starts[:, None] + np.arange(block)) % pictures
    return np.bincount(places.reshape(-1)[:pictures], minlength=pictures)
