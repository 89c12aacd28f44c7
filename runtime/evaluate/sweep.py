"""Robustness: thermal moved, or a picture made worse, by known amounts, before it is fused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import UsageError
from edgefusion.core.frames import FramePair
from edgefusion.kernels.agc import AgcSpec
from runtime.evaluate.views import Bytes, thermal_levels, whole, with_levels

MAX_STEPS = 200
FULL_WELL_ELECTRONS = 10_000.0
"""What a white pixel collects by day: sets the shot noise of ``night``."""
FOG_LEVEL = 200.0
GAMMA = 2.2

Change = Callable[[Bytes, Bytes, float, np.random.Generator], tuple[Bytes, Bytes]]
"""(visible RGB, thermal, strength, generator) -> both, changed; at one seed a larger strength is more of the same."""


def _shift(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    angle = draw.uniform(0, 2 * math.pi)
    step = strength * np.array([math.cos(angle), math.sin(angle)])
    return visible, _warp(thermal, np.column_stack([np.eye(2), step]))


def _turn(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    height, width = thermal.shape
    sign = draw.choice([-1.0, 1.0])
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), sign * strength, 1.0)
    return visible, _warp(thermal, np.asarray(matrix, np.float64))


def _warp(thermal: Bytes, matrix: npt.NDArray[np.float64]) -> Bytes:
    # What the thermal camera does not see is black, as `pack` has it.
    return cast(Bytes, cv2.warpAffine(thermal, matrix, thermal.shape[::-1], flags=cv2.INTER_LINEAR))


def _night(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    electrons = (visible.astype(np.float32) / 255) ** np.float32(GAMMA) * np.float32(FULL_WELL_ELECTRONS / 2**strength)
    # A normal draw of the same variance as Poisson's is ten times as fast.
    seen = electrons + np.sqrt(electrons) * draw.standard_normal(visible.shape, np.float32)
    return whole(np.maximum(seen / np.float32(FULL_WELL_ELECTRONS), 0) ** np.float32(1 / GAMMA) * 255), thermal


def _fog(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    return whole(visible * np.float32(1 - strength) + np.float32(FOG_LEVEL * strength)), thermal


def _blur(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    return cast(Bytes, cv2.GaussianBlur(visible, (0, 0), strength, borderType=cv2.BORDER_REPLICATE)), thermal


def _noise(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    return whole(visible + np.float32(strength) * draw.standard_normal(visible.shape, np.float32)), thermal


def _stripes(visible: Bytes, thermal: Bytes, strength: float, draw: np.random.Generator) -> tuple[Bytes, Bytes]:
    columns = draw.permutation(thermal.shape[1])[: round(strength * thermal.shape[1])]
    striped = thermal.copy()
    striped[:, columns] = 0
    return visible, striped


@dataclass(frozen=True)
class Kind:
    """One way of making a pair worse.

    Attributes:
        change: what it does.
        unit: of its strength.
        usual: the strengths where none are named.
        most: the largest strength that makes sense.
    """

    change: Change
    unit: str
    usual: tuple[float, ...]
    most: float


MISALIGNMENTS = {
    "px": Kind(_shift, "pixels that thermal is shifted", (0, 10, 20, 30, 40, 50, 60), 10_000),
    "deg": Kind(_turn, "degrees that thermal is turned about its centre", (0, 5, 10, 15, 20), 180),
}
DEGRADATIONS = {
    "night": Kind(_night, "stops of light lost, with shot noise", (0, 2, 4, 6), 20),
    "fog": Kind(_fog, "share of visible contrast lost", (0, 0.25, 0.5, 0.75), 1),
    "blur": Kind(_blur, "sigma of visible blur, pixels", (0, 1, 2, 4), 100),
    "noise": Kind(_noise, "sigma of visible noise, grey levels", (0, 10, 20, 40), 255),
    "stripes": Kind(_stripes, "share of thermal columns dead", (0, 0.02, 0.05, 0.1), 1),
}
KINDS = {**MISALIGNMENTS, **DEGRADATIONS}


@dataclass(frozen=True)
class Condition:
    """A pair as it is (strength 0), or made worse in one way."""

    kind: str = ""
    strength: float = 0.0

    def key(self, seed: int) -> str:
        """Names the condition in the cache."""
        return f"{self.kind}={self.strength:g}, seed {seed}" if self.strength else ""

    def apply(self, pair: FramePair, agc: AgcSpec, *, seed: int, digest: str) -> FramePair:
        """The pair made worse; what is random depends on the seed and the pair's content only."""
        if not self.strength:
            return pair
        draw = np.random.default_rng([seed, int(digest[:16], 16)])
        rgb = pair.visible.pixels.astype(np.uint8, copy=False)
        return with_levels(pair, *KINDS[self.kind].change(rgb, thermal_levels(pair.thermal, agc), self.strength, draw))


def parse_misalign(text: str) -> dict[str, tuple[float, ...]]:
    """``px=0:60:10,deg=0:20:5`` as kind -> strengths.

    Raises:
        UsageError: not of that form, or an unknown kind.
    """
    sweeps = {}
    for part in text.split(","):
        name, _, steps = part.partition("=")
        if name not in MISALIGNMENTS:
            raise UsageError(f"--misalign {text}: {name!r}", remedy="give px or deg, such as px=0:60:10,deg=0:20:5")
        sweeps[name] = _strengths(steps, name) if steps else MISALIGNMENTS[name].usual
    return sweeps


def parse_degrade(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """``fog`` or ``fog=0.2,0.5`` or ``fog=0:1:0.25``, several times, as kind -> strengths.

    Raises:
        UsageError: not of that form, or an unknown kind.
    """
    sweeps = {}
    for text in texts:
        name, _, steps = text.partition("=")
        if name not in DEGRADATIONS:
            raise UsageError(f"--degrade {text}", remedy=f"choose from {', '.join(DEGRADATIONS)}")
        sweeps[name] = _strengths(steps, name) if steps else DEGRADATIONS[name].usual
    return sweeps


def _strengths(text: str, name: str) -> tuple[float, ...]:
    """``0:60:10`` (both ends taken) or ``0,1,4``, in rising order."""
    try:
        numbers = [float(part) for part in text.replace(":", ",").split(",")]
    except ValueError:
        numbers = []
    if ":" in text and len(numbers) == 3 and numbers[2] > 0 and (numbers[1] - numbers[0]) / numbers[2] < MAX_STEPS:
        first, last, step = numbers
        numbers = [round(first + step * index, 9) for index in range(math.floor((last - first) / step + 1e-9) + 1)]
    elif ":" in text or len(numbers) > MAX_STEPS:
        numbers = []
    if not numbers or not all(0 <= number <= KINDS[name].most for number in numbers):
        raise UsageError(
            f"{name}={text}",
            remedy=f"give FIRST:LAST:STEP or a list, 0 to {KINDS[name].most:g}, such as {name}=0:1:0.5",
        )
    return tuple(sorted(set(numbers)))
