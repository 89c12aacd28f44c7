"""A sink for measuring: frames end here."""

from __future__ import annotations

from edgefusion.core.frames import FramePair
from runtime.sinks import Rgb


class NullSink:
    """Takes frames and forgets them."""

    def write(self, rgb: Rgb, pair: FramePair) -> None:
        """Forget the frame."""

    def close(self) -> None:
        """Nothing to finish."""

    def abandon(self) -> None:
        """Nothing to remove."""
