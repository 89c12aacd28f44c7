"""Making a student's input worse, as nights, fog and cheap sensors do; what it is asked for stays the clean target.

Kinds and units are those of ``edgefusion evaluate --degrade``, drawn at random; the gain control comes on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]
Span = tuple[float, float]

FULL_WELL_ELECTRONS = 10_000.0
"""What a white pixel collects by day: sets the shot noise of a night."""
GAMMA = 2.2
AIRLIGHT = 0.78
"""The grey that fog tends to, of full scale."""


@dataclass(frozen=True)
class DegradationRange:
    """How often an input is made worse, and from how little to how much.

    Attributes:
        odds: chance of each kind by itself; 0 leaves every input as it is.
        night_stops: stops of light that visible loses, with shot noise.
        fog_share: share of visible contrast lost.
        noise_grey: sigma of either camera's noise, grey levels of 255.
        stripes_grey: sigma of the thermal columns' offsets, grey levels of 255.
        dead_share: share of thermal columns that read 0.
        agc_gain: factor of thermal contrast about its mean; what leaves 0..1 is cut off.
        agc_offset: added to thermal, of full scale.
    """

    odds: float = 0.015
    night_stops: Span = (0.5, 6.0)
    fog_share: Span = (0.1, 0.75)
    noise_grey: Span = (1.0, 25.0)
    stripes_grey: Span = (0.5, 6.0)
    dead_share: Span = (0.0, 0.05)
    agc_gain: Span = (0.6, 1.6)
    agc_offset: Span = (-0.15, 0.15)


def degrade_visible(plane: Plane, draw: np.random.Generator, most: DegradationRange) -> Plane:
    """Night, fog and noise, each by chance; a new plane in 0..1.

    Args:
        plane: [H, W] luma in 0..1.
        draw: source of chance.
        most: how often and how much.
    """
    if draw.random() < most.odds:
        plane = night(plane, draw.uniform(*most.night_stops), draw)
    if draw.random() < most.odds:
        plane = fog(plane, draw.uniform(*most.fog_share))
    if draw.random() < most.odds:
        plane = noise(plane, draw.uniform(*most.noise_grey), draw)
    return np.array(plane)


def degrade_thermal(plane: Plane, draw: np.random.Generator, most: DegradationRange) -> Plane:
    """Another gain control, stripes and noise, each by chance; else as ``degrade_visible``."""
    if draw.random() < most.odds:
        plane = gain_control(plane, draw.uniform(*most.agc_gain), draw.uniform(*most.agc_offset))
    if draw.random() < most.odds:
        plane = stripes(plane, draw.uniform(*most.stripes_grey), draw.uniform(*most.dead_share), draw)
    if draw.random() < most.odds:
        plane = noise(plane, draw.uniform(*most.noise_grey), draw)
    return np.array(plane)


def night(plane: Plane, stops: float, draw: np.random.Generator) -> Plane:
    """``stops`` of light lost, with the shot noise of the electrons that are left."""
    electrons = plane ** np.float32(GAMMA) * np.float32(FULL_WELL_ELECTRONS / 2**stops)
    # A normal draw of the same variance as Poisson's is ten times as fast.
    seen = electrons + np.sqrt(electrons) * draw.standard_normal(plane.shape, np.float32)
    return _inside((np.maximum(seen, 0) / np.float32(FULL_WELL_ELECTRONS)) ** np.float32(1 / GAMMA))


def fog(plane: Plane, share: float) -> Plane:
    """``share`` of the contrast lost to airlight (Koschmieder's law at one distance)."""
    return _inside(plane * np.float32(1 - share) + np.float32(AIRLIGHT * share))


def noise(plane: Plane, grey: float, draw: np.random.Generator) -> Plane:
    """White noise of ``grey`` levels of 255."""
    return _inside(plane + np.float32(grey / 255) * draw.standard_normal(plane.shape, np.float32))


def stripes(plane: Plane, grey: float, dead: float, draw: np.random.Generator) -> Plane:
    """Columns offset by ``grey`` levels of 255 (sigma), and a share ``dead`` of them at 0, as uncooled sensors show."""
    striped = _inside(plane + np.float32(grey / 255) * draw.standard_normal(plane.shape[1], np.float32))
    striped[:, draw.permutation(plane.shape[1])[: round(dead * plane.shape[1])]] = 0
    return striped


def gain_control(plane: Plane, gain: float, offset: float) -> Plane:
    """What another setting of the camera's gain control would show: ``gain`` about the mean, ``offset``, cut off."""
    middle = plane.mean()
    return _inside((plane - middle) * np.float32(gain) + middle + np.float32(offset))


def _inside(plane: Plane) -> Plane:
    return np.clip(plane, 0, 1).astype(np.float32, copy=False)
