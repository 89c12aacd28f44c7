"""A moment: what both cameras saw at one time, as the loop gets it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgefusion.core.frames import REGULAR, Flag, Frame, FramePair


def _nothing() -> None:
    """The frames are nobody else's."""


@dataclass(frozen=True)
class Moment:
    """One turn of the loop. ``release`` gives the frames back to their cameras, once, after their last read.

    Attributes:
        visible, thermal: the frames; one may be missing, and then a flag says so.
        flags: what is unusual.
        exposure_ns: when the visible frame was exposed (the thermal one where there is no visible), CLOCK_MONOTONIC.
        thermal_age_ns: exposure of visible minus that of thermal.
        name: what the pair is called in its recording, or empty.
        give_back: what ``release`` calls.
    """

    visible: Frame | None
    thermal: Frame | None
    flags: Flag = REGULAR
    exposure_ns: int = 0
    thermal_age_ns: int = 0
    name: str = ""
    give_back: Callable[[], None] = field(default=_nothing, compare=False, repr=False)

    @property
    def pair(self) -> FramePair | None:
        """Both frames, if there are both."""
        if self.visible is None or self.thermal is None:
            return None
        return FramePair(self.visible, self.thermal, self.name)

    def release(self) -> None:
        """Give the frames back; their pixels may change from now on."""
        self.give_back()
