"""The chosen frames as the page lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from calibrate.frames.choice import Choice
from calibrate.frames.page.charts import GROUP_CLASSES
from edgefusion.core.calibration import ChosenFrame


@dataclass(frozen=True)
class Card:
    """A frame: its picture, and in words where it is, what it is like and why it was chosen."""

    picture: str
    number: int
    place: str
    facts: str
    reason: str
    colour: str


def cards_of(
    frames: Sequence[ChosenFrame], thumbnails: Sequence[str], choices: Sequence[Choice], starts_ns: Sequence[int]
) -> list[Card]:
    """A card for each frame, in order; the holdout's have no choices. ``starts_ns`` is when each recording begins."""
    return [
        Card(
            picture,
            number,
            _place(frame, starts_ns),
            f"{frame.light}, luma {frame.luma:.2f}, thermal {frame.agc_range[0]:.0f} to {frame.agc_range[1]:.0f}",
            choice.group if choice else "",
            GROUP_CLASSES[choice.group] if choice else "held",
        )
        for number, (frame, picture, choice) in enumerate(zip_longest(frames, thumbnails, choices), start=1)
    ]


def _place(frame: ChosenFrame, starts_ns: Sequence[int]) -> str:
    where = frame.name or f"{(frame.timestamp_ns - starts_ns[frame.recording]) / 1e9:.2f} s"
    return f"recording {frame.recording + 1}, {where}" if len(starts_ns) > 1 else where
