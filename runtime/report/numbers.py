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


def steps(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high`` in equal steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_steps(low: float, high: float, *, fewest: int = 5) -> list[float]:
    """Round numbers between two positive ones for an axis of equal ratios: powers of ten, and more if few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5), (1, 2, 3, 5, 7), tuple(range(1, 10))):
        found = [factor * 10.0**power for power in powers for factor in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) >= fewest:
            return inside
    return [value for value in steps(low, high) if value > 0] or [low]
