"""What is behind everything: the road and its markings, verges, the sky, in both modalities."""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import textures
from runtime.capture.night_drive.light import (
    AMBIENT,
    MAP_DEPTHS,
    MAP_WIDTHS,
    OWN_LAMPS,
    OWN_TINT,
    Air,
    lamps_at,
    veil_at,
)
from runtime.capture.night_drive.project import View, compiled, inlined
from runtime.capture.night_drive.raster import OPAQUE
from runtime.capture.night_drive.scenery import BLOCK_M
from runtime.capture.night_drive.world import Scene

Floats = npt.NDArray[np.float32]

FAR_M, SKY_M = 200.0, 400.0
"""The ground is drawn up to the first; woods and sky count as far away as the second."""

DIM = np.float32(1e-3)
"""Lamp light that may as well be none."""

GLANCE = np.float32(8.0)
"""How much more a rough road returns of grazing light than a perfectly matt one."""

_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_BLOCK = np.float32(BLOCK_M)
_TEXELS = np.float32(1 / textures.TEXEL_M)
_SIDE = textures.SIDE
_PERIOD_M = textures.SIDE * textures.TEXEL_M
_LIGHT_CENTRE, _LIGHT_LAST = np.float32(MAP_WIDTHS / 2), np.float32(MAP_WIDTHS - 1.01)
_LIGHT_FARTHEST = np.float32(MAP_DEPTHS - 1.01)
_TRACKS_PER_M = 20
_AZIMUTH_CELLS, _CLOUD_ROWS, _CLOUD_COLUMNS = np.float32(326), np.float32(22), np.float32(14)


@dataclass(frozen=True, eq=False)
class Survey:
    """What never changes at a camera's pixels, all [H, W].

    ``z`` is the ground's distance, 0 for the sky; ``x`` the ground's X, or the sky's tangent of azimuth;
    ``tangent`` the sky's of elevation; ``level`` of the ground textures; ``own`` the own lamps' light on the ground, or
    the sky's glow; ``clear`` and ``veil`` what fog lets through and throws back.
    """

    z: Floats
    x: Floats
    tangent: Floats
    level: npt.NDArray[np.uint8]
    own: Floats
    clear: Floats
    veil: Floats


@lru_cache(maxsize=8)
def _survey(view: View, air: Air) -> Survey:
    height, width = view.size_px[1], view.size_px[0]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    rays = np.einsum("ij,jyx->iyx", view.inverse, np.stack([x, y, np.ones_like(x)])).astype(np.float32)
    slope = -rays[1] / rays[2]
    ground = slope < -view.height_m / FAR_M
    z = np.where(ground, view.height_m / np.where(ground, -slope, 1), 0).astype(np.float32)
    along = z * z / (view.focal_px * view.height_m)
    level = np.clip(np.log2(np.maximum(along / textures.TEXEL_M, 1)), 0, textures.GROUND_LEVELS - 1).astype(np.uint8)
    side = (rays[0] / rays[2] * np.where(ground, z, 1)).astype(np.float32)
    own, veil = np.zeros_like(z), np.zeros_like(z)
    _lamp_maps((own, veil), (side, z, slope), textures.beam(), air.veil)
    clear = np.exp(-air.extinction * np.where(ground, z, SKY_M)).astype(np.float32)
    return Survey(z, side, np.maximum(slope, 0), level, own, clear, veil)


@compiled
def _lamp_maps(out, where, beam, veil):
    own, thrown = out
    side, depth, slope = where
    for y in range(own.shape[0]):
        for x in range(own.shape[1]):
            z = depth[y, x]
            if z > 0:
                grazing = np.float32(textures.LAMP_HEIGHT_M) / max(z - np.float32(textures.LAMP_AHEAD_M), _ONE)
                own[y, x] = lamps_at(beam, side[y, x], _ZERO, z) * OWN_LAMPS * GLANCE * grazing
                thrown[y, x] = veil_at(veil, slope[y, x], side[y, x], z) * OWN_LAMPS
            else:
                own[y, x] = np.exp(-max(slope[y, x], _ZERO) * np.float32(9))
                far = np.float32(SKY_M)
                thrown[y, x] = veil_at(veil, slope[y, x], side[y, x] * far, far) * OWN_LAMPS


@lru_cache(maxsize=1)
def _tracks() -> Floats:
    """[256] how worn the asphalt is, 0..1, by 0.05 m from the centre line."""
    u = np.arange(256) / _TRACKS_PER_M
    return np.exp(-9 * (np.abs(u - 1.75) - 0.78) ** 2).astype(np.float32)


@inlined
def _step(distance, width):
    """0 to 1 as ``distance`` passes 0, over ``width``."""
    return min(max(distance / width + _HALF, _ZERO), _ONE)


@inlined
def _band(distance, half, width):
    """How much of a footprint of ``width`` lies within ``half`` of a line ``distance`` away."""
    return _step(half - abs(distance), width) * min(_ONE, _TWO * half / width)


@inlined
def _sample(ground, kind, level, s, u):
    """The ground texture -1..1, interpolated sideways: ahead, a texel is always less than a pixel."""
    across = u * _TEXELS + np.float32(4096)
    row = ((kind * textures.GROUND_LEVELS + level) * _SIDE + (int(s * _TEXELS) & (_SIDE - 1))) * _SIDE
    c = int(across)
    fraction = across - np.float32(c)
    left = np.float32(ground[row + (c & (_SIDE - 1))])
    right = np.float32(ground[row + ((c + 1) & (_SIDE - 1))])
    return (left + fraction * (right - left)) * np.float32(1 / 128) - _ONE


@inlined
def _paint(u, s, into, half_width, crossing, across, along):
    """Cover 0..1 of the road markings: edge lines, dashes, zebra crossing."""
    paint = _ZERO
    if abs(abs(u) - np.float32(3.6)) < np.float32(0.075) + across:
        paint = _band(abs(u) - np.float32(3.6), np.float32(0.075), across)
    if abs(u) < np.float32(0.6):
        phase = s - np.float32(9) * np.floor(s * np.float32(1 / 9))
        dash = _band(phase - np.float32(1.5), np.float32(1.5), along)
        paint = max(paint, _band(u, np.float32(0.07), across) * dash)
    if crossing >= 0:
        zebra = _step(_TWO - abs(into - crossing - np.float32(1.75)), along)
        if zebra > 0:
            bars = _band(u - np.floor(u) - _HALF, np.float32(0.25), across)
            paint += zebra * (bars * _step(half_width - np.float32(0.2) - abs(u), across) - paint)
    return paint


@inlined
def _asphalt(u, s, into, half_width, crossing, across, along, grain, stain, track):
    """(albedo, celsius) of the road."""
    seam = _ZERO
    if abs(into - np.float32(19.2)) < _ONE:
        seam = _band(into - np.float32(19.2) - np.float32(0.15) * np.sin(u * np.float32(3)), np.float32(0.035), along)
    worn = _ONE + np.float32(0.8) * grain + np.float32(0.10) * stain - np.float32(0.18) * track - _HALF * seam
    celsius = np.float32(8.4) + np.float32(1.0) * grain + np.float32(0.35) * stain + np.float32(0.7) * track
    paint = _paint(u, s, into, half_width, crossing, across, along)
    albedo = np.float32(0.070) * worn + paint * np.float32(0.40) * (np.float32(0.85) + np.float32(0.3) * grain)
    return albedo, celsius + np.float32(1.2) * seam - np.float32(1.6) * paint


@inlined
def _pavement(edge, s, across, along, grain):
    """(albedo, celsius) of slabs, ``edge`` metres from the kerb."""
    slab = _band(s - np.floor(s), np.float32(0.03), along) + _band(edge - np.floor(edge), np.float32(0.03), across)
    kerb = _band(edge - np.float32(0.09), np.float32(0.09), across)
    albedo = np.float32(0.10) * (_ONE + np.float32(0.45) * grain - np.float32(0.4) * slab + kerb)
    return albedo, np.float32(7.4) + np.float32(0.7) * grain - np.float32(1.2) * kerb + np.float32(0.4) * slab


@inlined
def _surface(u, s, into, half_width, town, crossing, across, along, level, ground, stains, tracks):
    """(red, green, blue albedo, celsius) of the ground."""
    grain = _sample(ground, 0, level, s, u)
    stain = stains[int(s * np.float32(5)) & 511, int(u * np.float32(9) + np.float32(512)) & 511]
    track = tracks[min(int(abs(u) * np.float32(_TRACKS_PER_M)), 255)]
    edge = abs(u) - half_width
    verge = _ONE if edge > 0 else _ZERO
    if abs(edge) < across:
        verge = _step(edge, across)
    red, green, blue, celsius = _ZERO, _ZERO, _ZERO, _ZERO
    if verge < 1:
        red, celsius = _asphalt(u, s, into, half_width, crossing, across, along, grain, stain, track)
        green, blue = red * np.float32(0.985), red * np.float32(0.96)
    if verge > 0:
        if town > 0:
            side_r, warm = _pavement(edge, s, across, along, grain)
            side_g, side_b = side_r * np.float32(0.97), side_r * np.float32(0.92)
        else:
            blades = _sample(ground, 1, level, s, u)
            tuft = _ONE + np.float32(0.95) * blades + np.float32(0.15) * stain
            side_r, side_g, side_b = np.float32(0.040) * tuft, np.float32(0.052) * tuft, np.float32(0.024) * tuft
            warm = np.float32(5.2) + np.float32(2.0) * blades + np.float32(0.6) * stain
        red += verge * (side_r - red)
        green += verge * (side_g - green)
        blue += verge * (side_b - blue)
        celsius += verge * (warm - celsius)
    return max(red, _ZERO), max(green, _ZERO), max(blue, _ZERO), celsius


@inlined
def _across_road(x, z, ego_u, bend):
    """How far right of the centre line (x, z) on the ground is."""
    cell = int(z)
    return x + ego_u - bend[cell] - (z - np.float32(cell)) * (bend[cell + 1] - bend[cell])


@inlined
def _sky(tangent, azimuth, skyline, clouds):
    """(how much is woods, cloud 0..1) in a direction above the horizon."""
    at = azimuth * _AZIMUTH_CELLS + np.float32(4096)
    i = int(at)
    line = skyline[i & 1023] + (at - np.float32(i)) * (skyline[(i + 1) & 1023] - skyline[i & 1023])
    woods = _step(line - tangent, np.float32(0.002))
    if woods == 1:
        return _ONE, _ZERO
    # Clouds lie in a layer: nearer to the horizon they shrink.
    flat = _ONE / (tangent + np.float32(0.12))
    row, column = _CLOUD_ROWS * flat, azimuth * _CLOUD_COLUMNS * flat + np.float32(1024)
    r, c = int(row), int(column)
    fr, fc = row - np.float32(r), column - np.float32(c)
    r, c = r & 511, c & 511
    below, right = (r + 1) & 511, (c + 1) & 511
    top = clouds[r, c] + fc * (clouds[r, right] - clouds[r, c])
    low = clouds[below, c] + fc * (clouds[below, right] - clouds[below, c])
    return woods, min(max(_HALF + _HALF * (top + fr * (low - top)), _ZERO), _ONE)


@compiled
def _draw_visible(image, survey, camera, drive, blocks, lamps, haze, pictures):
    depths, sides, tangents, levels, owns, clears, veils = survey
    ego_u, height, pixel, foggy = camera
    offset, texture_s, bend, yaw = drive
    ground, clouds, skyline, tracks = pictures
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            through = image[y, x, 3]
            if through < OPAQUE:
                continue
            z = depths[y, x]
            if z > 0:
                u, into = _across_road(sides[y, x], z, ego_u, bend), offset + z
                index = min(int(into / _BLOCK), 7)
                into -= np.float32(index) * _BLOCK
                half_width, town, crossing = blocks[index, 0], blocks[index, 1], blocks[index, 2]
                across, along = z * pixel, z * z * pixel / height
                s, level = texture_s + z, levels[y, x]
                red, green, blue, _ = _surface(
                    u, s, into, half_width, town, crossing, across, along, level, ground, clouds, tracks
                )
                ahead, aside = min(z, _LIGHT_FARTHEST), min(max(u + _LIGHT_CENTRE, _ZERO), _LIGHT_LAST)
                i, j = int(ahead), int(aside)
                fi, fj = ahead - np.float32(i), aside - np.float32(j)
                own = owns[y, x]
                lit_r, lit_g, lit_b = own * OWN_TINT[0], own * OWN_TINT[1], own * OWN_TINT[2]
                lit_r, lit_g, lit_b = lit_r + AMBIENT[0], lit_g + AMBIENT[1], lit_b + AMBIENT[2]
                if lamps[i, j, 0] > DIM:
                    w0, w1, w2, w3 = (_ONE - fi) * (_ONE - fj), (_ONE - fi) * fj, fi * (_ONE - fj), fi * fj
                    lit_r += w0 * lamps[i, j, 0] + w1 * lamps[i, j + 1, 0]
                    lit_r += w2 * lamps[i + 1, j, 0] + w3 * lamps[i + 1, j + 1, 0]
                    lit_g += w0 * lamps[i, j, 1] + w1 * lamps[i, j + 1, 1]
                    lit_g += w2 * lamps[i + 1, j, 1] + w3 * lamps[i + 1, j + 1, 1]
                    lit_b += w0 * lamps[i, j, 2] + w1 * lamps[i, j + 1, 2]
                    lit_b += w2 * lamps[i + 1, j, 2] + w3 * lamps[i + 1, j + 1, 2]
                red, green, blue = red * lit_r, green * lit_g, blue * lit_b
            else:
                woods, cloud = _sky(tangents[y, x], sides[y, x] + yaw, skyline, clouds)
                glow = owns[y, x] * (np.float32(0.45) + np.float32(0.75) * cloud)
                dark = _ONE - np.float32(0.88) * woods
                red = (np.float32(0.0022) + np.float32(0.036) * glow) * dark
                green = (np.float32(0.0040) + np.float32(0.026) * glow) * dark
                blue = (np.float32(0.0105) + np.float32(0.022) * glow) * dark
            if foggy:
                clear, veil = clears[y, x], veils[y, x]
                red = red * clear + haze[0] * (_ONE - clear) + veil
                green = green * clear + haze[1] * (_ONE - clear) + veil
                blue = blue * clear + haze[2] * (_ONE - clear) + veil
            image[y, x, 0] += through * red
            image[y, x, 1] += through * green
            image[y, x, 2] += through * blue


@compiled
def _draw_thermal(image, survey, camera, drive, blocks, air_celsius, pictures):
    depths, sides, tangents, levels, _, clears, _ = survey
    ego_u, height, pixel, foggy = camera
    offset, texture_s, bend, yaw = drive
    ground, clouds, skyline, tracks = pictures
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            through = image[y, x, 1]
            if through < OPAQUE:
                continue
            z = depths[y, x]
            if z > 0:
                u, into = _across_road(sides[y, x], z, ego_u, bend), offset + z
                index = min(int(into / _BLOCK), 7)
                into -= np.float32(index) * _BLOCK
                half_width, town, crossing = blocks[index, 0], blocks[index, 1], blocks[index, 2]
                across, along = z * pixel, z * z * pixel / height
                s, level = texture_s + z, levels[y, x]
                _, _, _, celsius = _surface(
                    u, s, into, half_width, town, crossing, across, along, level, ground, clouds, tracks
                )
            else:
                woods, cloud = _sky(tangents[y, x], sides[y, x] + yaw, skyline, clouds)
                celsius = np.float32(2.5) - np.float32(13) * (_ONE - np.exp(-tangents[y, x] * np.float32(5)))
                celsius += np.float32(5.0) * cloud
                celsius += woods * (np.float32(6.0) - celsius)
            if foggy:
                celsius = air_celsius + (celsius - air_celsius) * clears[y, x]
            image[y, x, 0] += through * celsius


@compiled
def _draw_stars(image, matrix, stars, yaw, share):
    """Stars (azimuth, tangent of elevation, brightness), each on the four pixels round its point."""
    for k in range(len(stars)):
        x, y = np.tan(stars[k, 0] - yaw), -stars[k, 1]
        depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
        px = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth
        py = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth
        if not (0 <= px < image.shape[1] - 1 and 0 <= py < image.shape[0] - 1):
            continue
        j, i = int(px), int(py)
        fx, fy = px - np.float32(j), py - np.float32(i)
        for dy in range(2):
            for dx in range(2):
                weight = (fx if dx else _ONE - fx) * (fy if dy else _ONE - fy)
                light = weight * stars[k, 2] * share * image[i + dy, j + dx, 3]
                image[i + dy, j + dx, 0] += light
                image[i + dy, j + dx, 1] += light
                image[i + dy, j + dx, 2] += light * np.float32(1.15)


def _arguments(scene: Scene, view: View, air: Air) -> tuple[Any, ...]:
    here = _survey(view, air)
    survey = (here.z, here.x, here.tangent, here.level, here.own, here.clear, here.veil)
    camera = (np.float32(view.u), np.float32(view.height_m), np.float32(1 / view.focal_px), air.extinction > 0)
    texture_s = np.float32(scene.travelled_m % (_PERIOD_M * 9 * 8))
    drive = (np.float32(scene.offset_m), texture_s, scene.bend, np.float32(scene.yaw))
    return survey, camera, drive


def _pictures() -> tuple[npt.NDArray[np.generic], ...]:
    return textures.ground().reshape(-1), textures.clouds(), textures.skyline(), _tracks()


def draw_visible(image: Floats, scene: Scene, *, view: View, air: Air) -> None:
    """Draw road and sky behind ``image`` [H, W, 4] (see raster.draw_visible)."""
    haze = np.array(air.glow, np.float32)
    _draw_visible(image, *_arguments(scene, view, air), scene.blocks, scene.lamps, haze, _pictures())
    clear = np.float32(np.exp(-air.extinction * SKY_M))
    _draw_stars(image, view.matrix, textures.stars(), np.float32(scene.yaw), clear)


def draw_thermal(image: Floats, scene: Scene, *, view: View, air: Air) -> None:
    """Draw road and sky behind ``image`` [H, W, 2] (see raster.draw_thermal)."""
    _draw_thermal(image, *_arguments(scene, view, air), scene.blocks, np.float32(air.celsius), _pictures())
