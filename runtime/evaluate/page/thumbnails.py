"""Small pictures of the pairs that a reader looks at first, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgefusion.core.frames import FramePair
from edgefusion.kernels.agc import AgcSpec
from runtime.evaluate.entries import Entry, Fuse
from runtime.evaluate.result import Evaluation
from runtime.evaluate.views import thermal_levels

SIDE_PX = 160
QUALITY = 62
WORST, BEST = 30, 10
USUAL_METRIC = "Qabf"


@dataclass(frozen=True)
class Thumbnails:
    """Data URIs of one pair; ``fused`` holds one for each entry of the result, in its order."""

    visible: str
    thermal: str
    fused: list[str]


def usual_metric(result: Evaluation) -> str:
    """What the list of pairs is sorted by until the reader chooses."""
    return USUAL_METRIC if USUAL_METRIC in result.metrics else next(iter(result.metrics), "")


def shown_pairs(result: Evaluation) -> list[int]:
    """Places of the pairs that get thumbnails: all if they are few, else the first entry's worst and best."""
    name, metric = result.entries[0].name, usual_metric(result)
    sign = -1 if metric in result.lower_is_better else 1
    order = sorted(range(result.pairs), key=lambda place: sign * result.per_pair[place].values[name][metric])
    return order if len(order) <= WORST + BEST else [*order[:WORST], *order[-BEST:]]


def make_thumbnails(
    pairs: Iterable[tuple[int, FramePair]], *, entries: Sequence[Entry], agc: AgcSpec,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[int, Thumbnails]:  # fmt: skip
    """Thumbnails by the pair's place in ``result.per_pair``; every entry fuses those pairs once more.

    Args:
        pairs: (place, pictures), read one at a time.
        entries: in the result's order.
        agc: makes 16-bit thermal a picture.
        advance: told of each pair that is done.

    Raises:
        EdgeFusionError: a picture that cannot be read, an entry that cannot be opened.
    """
    opened: list[Fuse] = []
    found = {}
    for place, pair in pairs:
        opened = opened or [entry.open() for entry in entries]
        found[place] = _of_pair(pair, opened, agc)
        advance(1)
    return found


def _of_pair(pair: FramePair, opened: Sequence[Fuse], agc: AgcSpec) -> Thumbnails:
    return Thumbnails(
        visible=_data_uri(pair.visible.pixels.astype(np.uint8, copy=False)),
        thermal=_data_uri(thermal_levels(pair.thermal, agc)),
        fused=[_data_uri(fuse(pair).rgb()) for fuse in opened],
    )


def _data_uri(pixels: npt.NDArray[np.uint8]) -> str:
    image = Image.fromarray(pixels).convert("RGB")
    image.thumbnail((SIDE_PX, SIDE_PX))
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
