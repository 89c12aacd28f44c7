"""What is worth knowing about a measurement, each thing once, however often it happens."""

from __future__ import annotations

MOST = 16


class Remarks:
    """A short list of distinct sentences."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Note it, unless it is noted already or there are too many."""
        if len(self._texts) < MOST:
            self._texts[text] = None

    def all(self) -> tuple[str, ...]:
        """In the order in which they came up."""
        return tuple(self._texts)
