"""A sink for measuring: frames end here."""

from __future__ import annotations

from edgefusion.core.frames import FramePair, FusedInfo
from runtime.sinks import Rgb


class NullSink:
    """Takes frames and forgets them."""

    wants_inputs = False

    def write(self, rgb: Rgb, info: FusedInfo, inputs: FramePair | None) -> None:
        """Forget the frame."""

    def close(self) -> None:
        """Nothing to finish."""

    def abandon(self) -> None:
        """Nothing to remove."""
