"""Light and air: the own head lamps, what fog throws back of them, and street lamps on the ground."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import textures
from runtime.capture.night_drive.project import inlined

Floats = npt.NDArray[np.float32]

OWN_LAMPS = np.float32(4200.0)
"""Own head-lamp light on a wall one metre away, at the beam's brightest."""

OWN_TINT = (np.float32(1.06), np.float32(1.0), np.float32(0.88))
"""Colour of the own lamps."""

AMBIENT = (np.float32(0.010), np.float32(0.012), np.float32(0.018))
"""Light of the night sky."""

MAP_STEP_M, MAP_DEPTHS, MAP_WIDTHS = 1.0, 160, 40
"""The map of lamp light on the ground: Z from 0 by 1 m, u from -20 m by 1 m."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_AZIMUTH_STEP = np.float32((textures.BEAM_AZIMUTHS - 1) / (2 * textures.BEAM_MAX_AZIMUTH))
_AZIMUTH_ZERO = np.float32((textures.BEAM_AZIMUTHS - 1) / 2)
_AZIMUTH_LAST = np.float32(textures.BEAM_AZIMUTHS - 1.01)
_ELEVATION_ZERO = np.float32((textures.BEAM_ELEVATIONS - 1) / 2)
_ELEVATION_UNIT = np.float32(1 / textures.BEAM_MAX_ELEVATION)
_LAMP_AHEAD, _LAMP_HEIGHT = np.float32(textures.LAMP_AHEAD_M), np.float32(textures.LAMP_HEIGHT_M)
_SLOPE_MAX = np.float32(textures.VEIL_MAX_SLOPE)
_SLOPE_STEP = np.float32((textures.VEIL_SLOPES - 1) / (2 * textures.VEIL_MAX_SLOPE))
_SLOPE_LAST = np.float32(textures.VEIL_SLOPES - 1.01)
_DEPTH_UNIT, _DEPTH_STEP = np.float32(1 / textures.VEIL_MAX_DEPTH_M), np.float32(63.875)


@dataclass(frozen=True, eq=False)
class Air:
    """What is between the camera and the world.

    ``extinction`` is 1/m; ``veil`` is textures.veil; ``glow`` the colour of fog without lamps;
    ``celsius`` how warm the air looks to the thermal camera.
    """

    extinction: float
    veil: Floats
    glow: tuple[float, float, float]
    celsius: float


@inlined
def lamps_at(beam, x, up, z):
    """Own head-lamp light at (x, ``up`` above the road, z), on a surface that faces it, OWN_LAMPS being one."""
    ahead = max(z - _LAMP_AHEAD, _ONE)
    nearness = _ONE / ahead
    lift = (up - _LAMP_HEIGHT) * nearness
    root = np.sqrt(min(abs(lift) * _ELEVATION_UNIT, np.float32(0.999))) * _ELEVATION_ZERO
    row = _ELEVATION_ZERO + (root if lift > 0 else -root)
    column = min(max(x * nearness * _AZIMUTH_STEP + _AZIMUTH_ZERO, _ZERO), _AZIMUTH_LAST)
    i, j = int(row), int(column)
    fi, fj = row - np.float32(i), column - np.float32(j)
    near = beam[i, j] + fj * (beam[i, j + 1] - beam[i, j])
    far = beam[i + 1, j] + fj * (beam[i + 1, j + 1] - beam[i + 1, j])
    return (near + fi * (far - near)) / (ahead * ahead + x * x)


@inlined
def veil_at(veil, slope, x, z):
    """Own head-lamp light thrown back by fog along a ray, up to the depth z, OWN_LAMPS being one."""
    row = min(max((slope + _SLOPE_MAX) * _SLOPE_STEP, _ZERO), _SLOPE_LAST)
    deep = np.sqrt(min(z * _DEPTH_UNIT, np.float32(0.97))) * _DEPTH_STEP
    i, j = int(row), int(deep)
    fi, fj = row - np.float32(i), deep - np.float32(j)
    near = veil[i, j] + fj * (veil[i, j + 1] - veil[i, j])
    far = veil[i + 1, j] + fj * (veil[i + 1, j + 1] - veil[i + 1, j])
    side = x / max(z, _ONE)
    return (near + fi * (far - near)) * (np.float32(0.25) + np.float32(0.75) * np.exp(-side * side * np.float32(9)))


def on_ground(lamps: Floats, place: Floats) -> Floats:
    """[N, 3] lamp light on the ground below shapes, from ``Scene.lamps`` and ``Flat.place``."""
    row = np.clip(np.nan_to_num(place[:, 1]), 0, MAP_DEPTHS - 1).astype(np.intp)
    column = np.clip(np.nan_to_num(place[:, 4]) + MAP_WIDTHS / 2, 0, MAP_WIDTHS - 1).astype(np.intp)
    return np.ascontiguousarray(lamps[row, column])
