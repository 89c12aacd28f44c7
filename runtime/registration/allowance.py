"""How much of a processor the monitor may take: so much on average, more for a moment when something changes."""

from __future__ import annotations

SHARE = 0.02
"""Of one processor, on average."""

MOST_S, RESERVE_S = 1.2, 0.6
"""What may be saved up, in seconds of a processor, and what of it is kept for when it matters."""


class Allowance:
    """Processor time, earned by waiting."""

    def __init__(self) -> None:
        self._left_s = MOST_S
        self._at_s: float | None = None

    def spend(self, cpu_s: float) -> None:
        """So much was used."""
        self._left_s -= cpu_s

    def permits(self, at_s: float, *, urgent: bool) -> bool:
        """Whether another measurement may be made at that time."""
        earned_s = 0.0 if self._at_s is None else SHARE * max(at_s - self._at_s, 0.0)
        self._left_s, self._at_s = min(self._left_s + earned_s, MOST_S), at_s
        return self._left_s > (0.0 if urgent else RESERVE_S)
