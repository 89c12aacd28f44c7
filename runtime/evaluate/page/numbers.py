"""Figures in words: as many digits as tell something, the same in a whole column."""

from __future__ import annotations

import math
from collections.abc import Iterable

DIGITS = 4
MOST_DECIMALS = 5
MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def decimals(values: Iterable[float], digits: int = DIGITS) -> int:
    """Decimal places that give the largest of the values so many significant digits."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    place = math.floor(math.log10(largest)) if largest else 0
    return min(max(digits - 1 - place, 0), MOST_DECIMALS)


def fixed(value: float | None, places: int = 3) -> str:
    """A figure with so many decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{places}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def signed(value: float | None, places: int = 3) -> str:
    """A difference, with its sign."""
    text = fixed(value, places)
    return f"+{text}" if value is not None and text[0].isdigit() and float(text) else text


def percent(value: float | None) -> str:
    """A share."""
    return NONE if value is None else f"{100 * value:.0f} %"


def chance(p: float) -> str:
    """A p-value."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 pair``, ``1,234 pairs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
