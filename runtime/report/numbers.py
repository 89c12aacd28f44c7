"""Figures in words: as many digits as tell something, and never a number where nothing was measured."""

from __future__ import annotations

import math

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
LONGEST_IN_SECONDS = 900


def short(value: float | None, digits: int = 3) -> str:
    """A figure with so many significant digits, but all those before the point; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    places = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    text = f"{value:,.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def places_of(*values: float | None, digits: int = 4) -> int:
    """Decimal places that give the largest of some figures so many significant digits."""
    largest = max((abs(value) for value in values if value), default=0.0)
    return max(digits - 1 - math.floor(math.log10(largest)), 0) if largest else 0


def fixed(value: float | None, places: int, *, sign: bool = False) -> str:
    """A figure with so many decimals; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    if not round(value, places):
        return "0"
    return f"{value:{'+' if sign else ''},.{places}f}".replace("-", MINUS)


def whole(value: int) -> str:
    """A count."""
    return f"{value:,}"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A count with its noun: 1 miss, 2 misses."""
    return f"{whole(count)} {noun if count == 1 else nouns or noun + 's'}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with its sign."""
    text = short(value, digits)
    return f"+{text}" if value is not None and value > 0 and text != "0" else text


def percent(share: float | None, digits: int = 2) -> str:
    """A share."""
    return NONE if share is None else f"{short(100 * share, digits)} %"


def duration(seconds: float) -> str:
    """A time in seconds up to a quarter of an hour, then in hours and minutes."""
    if seconds <= LONGEST_IN_SECONDS:
        return f"{short(seconds)} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return " ".join([f"{hours} h"] * bool(hours) + [f"{rest} min"] * bool(rest))
