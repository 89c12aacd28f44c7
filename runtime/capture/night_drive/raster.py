"""Shapes to pixels: visible radiance, apparent temperature, and who is seen where.

Images are drawn from the front to the back: each pixel keeps what share of the light behind still reaches it, so
that nothing hidden is ever computed, and the backdrop comes last.
"""

# mypy: disable-error-code="no-untyped-def"
# numba infers the types.

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runtime.capture.night_drive import light, textures
from runtime.capture.night_drive.light import AMBIENT, OWN_LAMPS, OWN_TINT, Air, lamps_at, veil_at
from runtime.capture.night_drive.project import Flat, View, compiled, inlined
from runtime.capture.night_drive.shapes import CAPSULE, GLOW, PICTURE, Shapes

Floats = npt.NDArray[np.float32]

LAMPS_ON_WALLS = np.float32(0.45)
"""What upright surfaces get of the lamp light on the ground below them."""

ALBEDO, EMISSION, CELSIUS, RIM, GRAIN, OPACITY, THERMAL_OPACITY, RETRO = 0, 3, 6, 7, 8, 9, 10, 11
"""Columns of ``Shapes.look``."""

OPAQUE = np.float32(0.004)
"""When less than this share of what is behind gets through, it is not drawn."""

_STRETCH = 16
"""Light, fog and place are computed at the ends of stretches of so many pixels, and interpolated."""

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_SIDE, _PICTURE_SIDE, _PICTURE_LEVELS = textures.SIDE, textures.PICTURE_SIDE, textures.PICTURE_LEVELS
_PICTURE_LAYERS = textures.PICTURE_LAYERS
_DEEPEST = np.float32(1e-4)


@inlined
def _edges_at(form, i, count, y, left, right):
    """Where a row enters and leaves a polygon, widened and narrowed by half a pixel: (first, end, solid, solid end)."""
    low, high = np.float32(left), np.float32(right)
    solid_low, solid_high = low, high
    for k in range(count):
        nx, at = form[i, 3 * k], form[i, 3 * k + 1] * np.float32(y) + form[i, 3 * k + 2]
        if abs(nx) < np.float32(1e-6):
            if at > _HALF:
                return 0, 0, 0, 0
            if at > -_HALF:
                solid_high = np.float32(-1)
        else:
            outer, inner = (_HALF - at) / nx, (-_HALF - at) / nx
            if nx > 0:
                high, solid_high = min(high, outer), min(solid_high, inner)
            else:
                low, solid_low = max(low, outer), max(solid_low, inner)
    first, end = max(left, int(np.ceil(low))), min(right, int(np.floor(high)) + 1)
    return first, end, int(np.ceil(solid_low)), int(np.floor(solid_high)) + 1


@inlined
def _picture_row(form, i, layer, y, spans, left, right):
    """Where a row of the image meets a picture's opaque part: (first, end)."""
    middle = np.float32(left + right) * _HALF
    up = form[i, 3] * middle + form[i, 4] * np.float32(y) + form[i, 5]
    row = int((_ONE - up) * np.float32(_PICTURE_SIDE))
    if not 0 <= row < _PICTURE_SIDE or spans[layer, row, 1] <= spans[layer, row, 0]:
        return 0, 0
    shift = form[i, 1] * np.float32(y) + form[i, 2]
    low = (np.float32(spans[layer, row, 0]) / np.float32(_PICTURE_SIDE) - shift) / form[i, 0]
    high = (np.float32(spans[layer, row, 1]) / np.float32(_PICTURE_SIDE) - shift) / form[i, 0]
    return max(left, int(low)), min(right, int(high) + 2)


@inlined
def _row(kind, form, i, count, layer, y, spans, left, right):
    """The part of a row to look at, and the part of that which a polygon covers whole."""
    if kind < CAPSULE:
        return _edges_at(form, i, count, y, left, right)
    if kind == PICTURE:
        first, end = _picture_row(form, i, layer, y, spans, left, right)
        return first, end, 0, 0
    return left, right, 0, 0


@inlined
def _capsule_cover(x0, y0, r0, x1, y1, r1, x, y):
    """(cover, distance from the axis as a share of the radius)."""
    dx, dy, px, py = x1 - x0, y1 - y0, x - x0, y - y0
    along = min(max((px * dx + py * dy) / max(dx * dx + dy * dy, np.float32(1e-6)), _ZERO), _ONE)
    radius = r0 + along * (r1 - r0)
    ex, ey = px - along * dx, py - along * dy
    distance = np.sqrt(ex * ex + ey * ey)
    # A thing thinner than a pixel covers no pixel whole.
    drawn = max(radius, _HALF)
    cover = min(max(drawn - distance + _HALF, _ZERO), _ONE) * (radius / drawn)
    return cover, min(distance / drawn, _ONE)


@compiled
def _sheet(kind, form, i, layer):
    """Which sheet of ``textures.pictures`` a picture is drawn from: its layer, as sharp as it is large here."""
    sheet = layer
    if kind == PICTURE:
        texels = np.float32(_PICTURE_SIDE) * abs(form[i, 0])
        while texels > _ONE and sheet < _PICTURE_LAYERS * (_PICTURE_LEVELS - 1):
            texels *= _HALF
            sheet += _PICTURE_LAYERS
    return sheet


@inlined
def _picture_cover(ax, ay, a, bx, by, b, sheet, pictures, x, y):
    column = (ax * x + ay * y + a) * np.float32(_PICTURE_SIDE - 1)
    row = (_ONE - bx * x - by * y - b) * np.float32(_PICTURE_SIDE - 1)
    r, c = int(row), int(column)
    cover = _ZERO
    if 0 <= r < _PICTURE_SIDE - 1 and 0 <= c < _PICTURE_SIDE - 1:
        near, far = pictures[sheet, r, c], pictures[sheet, r + 1, c + 1]
        cover = np.float32(near) * np.float32(1 / 255)
        if near != far:
            fr, fc = row - np.float32(r), column - np.float32(c)
            top, low = np.float32(near), np.float32(pictures[sheet, r + 1, c])
            top += fc * (np.float32(pictures[sheet, r, c + 1]) - top)
            low += fc * (np.float32(far) - low)
            cover = (top + fr * (low - top)) * np.float32(1 / 255)
    return cover


@inlined
def _cover(kind, form, i, count, f0, f1, f2, f3, f4, f5, sheet, pictures, x, y):
    """(cover 0..1, rim 0..1) of a shape at a pixel; ``f0`` to ``f5`` are the first of its form."""
    cover, rim = _ZERO, _ZERO
    if kind == PICTURE:
        cover = _picture_cover(f0, f1, f2, f3, f4, f5, sheet, pictures, x, y)
    elif kind >= CAPSULE:
        cover, rim = _capsule_cover(f0, f1, f2, f3, f4, f5, x, y)
    else:
        outside = np.float32(-1e9)
        for k in range(count):
            outside = max(outside, form[i, 3 * k] * x + form[i, 3 * k + 1] * y + form[i, 3 * k + 2])
        cover = min(max(_HALF - outside, _ZERO), _ONE)
    return cover, rim


@inlined
def _grain(ground, level, kind, rim, x, up, z, i):
    """A shape's own texture, -1..1: fixed to the wall, or to the limb."""
    if kind == CAPSULE:
        across, along, layer = up * np.float32(60), rim * np.float32(20) + np.float32(37 * i), 0
    else:
        across, along, layer = up * np.float32(40) + np.float32(17 * i), z * np.float32(23) + x * np.float32(41), 1
    r, c = int(along + np.float32(8192)) & (_SIDE - 1), int(across + np.float32(8192)) & (_SIDE - 1)
    return np.float32(ground[layer, level, r, c]) * np.float32(1 / 128) - _ONE


@compiled
def _level(pixels_a_metre):
    """The ground texture's level of detail for that many pixels a metre."""
    level, scale = 0, np.float32(30)
    while scale > pixels_a_metre and level < textures.GROUND_LEVELS - 1:
        scale *= _HALF
        level += 1
    return level


@inlined
def _place_at(plane, i, inverse, height, x, y):
    """(X, height above the road, Z) of a shape's point at a pixel."""
    depth = _ONE / max(plane[i, 0] * x + plane[i, 1] * y + plane[i, 2], _DEEPEST)
    dx = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    dy = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    dz = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2]
    return dx * depth, height - dy * depth, dz * depth


@inlined
def _air_at(extinction, veil, height, x, up, z):
    """(share of light that fog lets through, own light it throws back)."""
    if extinction <= 0:
        return _ONE, _ZERO
    return np.exp(-extinction * z), veil_at(veil, (up - height) / z, x, z) * OWN_LAMPS


@compiled
def _draw_visible(image, form, box, plane, place, look, kind, count, radius, inverse, height, street, air, pictures):
    extinction, veil, haze = air
    drawings, spans, ground, beam = pictures
    foggy = extinction > 0
    for i in range(len(kind) - 1, -1, -1):
        if box[i, 2] <= box[i, 0] or look[i, OPACITY] == 0:
            continue
        what, n, layer, level = kind[i], count[i], int(radius[i, 0]), _level(place[i, 3])
        sheet = _sheet(what, form, i, layer)
        f0, f1, f2, f3, f4, f5 = form[i, 0], form[i, 1], form[i, 2], form[i, 3], form[i, 4], form[i, 5]
        own_gain, grain_gain = look[i, RETRO] * OWN_LAMPS * place[i, 2], np.float32(0.45) * look[i, GRAIN]
        albedo_r, albedo_g, albedo_b = look[i, ALBEDO], look[i, ALBEDO + 1], look[i, ALBEDO + 2]
        glow_r, glow_g, glow_b = look[i, EMISSION], look[i, EMISSION + 1], look[i, EMISSION + 2]
        opacity, matt = look[i, OPACITY], grain_gain == 0
        base_r, base_g, base_b = AMBIENT[0] + street[i, 0], AMBIENT[1] + street[i, 1], AMBIENT[2] + street[i, 2]
        for y in range(box[i, 1], box[i, 3]):
            fy = np.float32(y)
            first, end, solid, solid_end = _row(what, form, i, n, layer, y, spans, box[i, 0], box[i, 2])
            if first >= end:
                continue
            x1, up1, z1 = _place_at(plane, i, inverse, height, np.float32(first), fy)
            own1 = lamps_at(beam, x1, up1, z1) * own_gain
            clear1, veil1 = _air_at(extinction, veil, height, x1, up1, z1)
            while first < end:
                last = min(first + _STRETCH, end)
                step = _ONE / np.float32(last - first)
                x0, up0, z0, own0, clear0, veil0 = x1, up1, z1, own1, clear1, veil1
                x1, up1, z1 = _place_at(plane, i, inverse, height, np.float32(last), fy)
                own1 = lamps_at(beam, x1, up1, z1) * own_gain
                clear1, veil1 = _air_at(extinction, veil, height, x1, up1, z1)
                for x in range(first, last):
                    through = image[y, x, 3]
                    if through < OPAQUE:
                        continue
                    cover, rim = _ONE, _ZERO
                    if x < solid or x >= solid_end:
                        cover, rim = _cover(
                            what, form, i, n, f0, f1, f2, f3, f4, f5, sheet, drawings, np.float32(x), fy
                        )
                    if cover <= 0:
                        continue
                    t = np.float32(x - first) * step
                    clear, own = clear0 + t * (clear1 - clear0), own0 + t * (own1 - own0)
                    if what == GLOW:
                        fade = (_ONE - rim) * (_ONE - rim) * (_ONE - rim) * clear * through
                        image[y, x, 0] += fade * glow_r
                        image[y, x, 1] += fade * glow_g
                        image[y, x, 2] += fade * glow_b
                        continue
                    if what == CAPSULE:
                        own *= np.sqrt(max(_ONE - rim * rim, np.float32(0.04)))
                    shade = clear
                    if not matt:
                        wx, wup, wz = x0 + t * (x1 - x0), up0 + t * (up1 - up0), z0 + t * (z1 - z0)
                        grain = _grain(ground, level, what, rim, wx, wup, wz, i)
                        shade *= max(_ONE + grain_gain * grain, np.float32(0.1))
                    red = albedo_r * shade * (own * OWN_TINT[0] + base_r) + glow_r * clear
                    green = albedo_g * shade * (own * OWN_TINT[1] + base_g) + glow_g * clear
                    blue = albedo_b * shade * (own * OWN_TINT[2] + base_b) + glow_b * clear
                    if foggy:
                        fog, scattered = _ONE - clear, veil0 + t * (veil1 - veil0)
                        red, green, blue = red + haze[0] * fog, green + haze[1] * fog, blue + haze[2] * fog
                        red, green, blue = red + scattered, green + scattered, blue + scattered
                    alpha = cover * opacity * through
                    image[y, x, 0] += alpha * red
                    image[y, x, 1] += alpha * green
                    image[y, x, 2] += alpha * blue
                    image[y, x, 3] = through - alpha
                first = last


@compiled
def _draw_thermal(image, form, box, plane, place, look, kind, count, radius, inverse, height, air, pictures):
    extinction, air_celsius = air
    drawings, spans, ground = pictures
    for i in range(len(kind) - 1, -1, -1):
        if box[i, 2] <= box[i, 0] or look[i, THERMAL_OPACITY] == 0:
            continue
        what, n, layer, level = kind[i], count[i], int(radius[i, 0]), _level(place[i, 3])
        sheet = _sheet(what, form, i, layer)
        f0, f1, f2, f3, f4, f5 = form[i, 0], form[i, 1], form[i, 2], form[i, 3], form[i, 4], form[i, 5]
        grain_gain, rim_gain = np.float32(1.6) * look[i, GRAIN], look[i, RIM]
        for y in range(box[i, 1], box[i, 3]):
            fy = np.float32(y)
            first, end, solid, solid_end = _row(what, form, i, n, layer, y, spans, box[i, 0], box[i, 2])
            for x in range(first, end):
                through = image[y, x, 1]
                if through < OPAQUE:
                    continue
                cover, rim = _ONE, _ZERO
                if x < solid or x >= solid_end:
                    cover, rim = _cover(what, form, i, n, f0, f1, f2, f3, f4, f5, sheet, drawings, np.float32(x), fy)
                if cover <= 0:
                    continue
                celsius = look[i, CELSIUS] - rim_gain * rim * rim
                if grain_gain > 0 or extinction > 0:
                    wx, up, z = _place_at(plane, i, inverse, height, np.float32(x), fy)
                    if grain_gain > 0:
                        celsius += grain_gain * _grain(ground, level, what, rim, wx, up, z, i)
                    if extinction > 0:
                        celsius = air_celsius + (celsius - air_celsius) * np.exp(-extinction * z)
                alpha = cover * look[i, THERMAL_OPACITY] * through
                image[y, x, 0] += alpha * celsius
                image[y, x, 1] = through - alpha


@compiled
def _draw_owners(seen, total, form, box, look, kind, count, radius, owner, pictures):
    """Paint owners' numbers, back to front; ``total`` counts each one's pixels as if nothing stood before it."""
    drawings, spans = pictures
    for i in range(len(kind)):
        if kind[i] == GLOW or look[i, OPACITY] < np.float32(0.99):
            continue
        n, layer = count[i], int(radius[i, 0])
        sheet = _sheet(kind[i], form, i, layer)
        f0, f1, f2, f3, f4, f5 = form[i, 0], form[i, 1], form[i, 2], form[i, 3], form[i, 4], form[i, 5]
        for y in range(box[i, 1], box[i, 3]):
            first, end, _, _ = _row(kind[i], form, i, n, layer, y, spans, box[i, 0], box[i, 2])
            fy = np.float32(y)
            for x in range(first, end):
                cover, _ = _cover(kind[i], form, i, n, f0, f1, f2, f3, f4, f5, sheet, drawings, np.float32(x), fy)
                if cover >= _HALF and seen[y, x] != owner[i]:
                    seen[y, x] = owner[i]
                    if owner[i] >= 0:
                        total[owner[i]] += 1


def draw_visible(image: Floats, flat: Flat, shapes: Shapes, *, view: View, lamps: Floats, air: Air) -> None:
    """Draw shapes into ``image`` [H, W, 4]: linear radiance, 1 being white, and the share of light from behind.

    ``lamps`` is ``Scene.lamps``, the light of street lamps on the ground.
    """
    street = LAMPS_ON_WALLS * light.on_ground(lamps, flat.place)
    haze = (np.float32(air.extinction), air.veil, np.array(air.glow, np.float32))
    pictures = (textures.pictures(), textures.picture_spans(), textures.ground(), textures.beam())
    drawn = (flat.form, flat.box, flat.plane, flat.place, shapes.look, shapes.kind, shapes.count, shapes.radius)
    _draw_visible(image, *drawn, view.inverse, np.float32(view.height_m), street, haze, pictures)


def draw_thermal(image: Floats, flat: Flat, shapes: Shapes, *, view: View, air: Air) -> None:
    """Draw shapes into ``image`` [H, W, 2]: apparent degrees Celsius, and the share of radiation from behind."""
    haze = (np.float32(air.extinction), np.float32(air.celsius))
    pictures = (textures.pictures(), textures.picture_spans(), textures.ground())
    drawn = (flat.form, flat.box, flat.plane, flat.place, shapes.look, shapes.kind, shapes.count, shapes.radius)
    _draw_thermal(image, *drawn, view.inverse, np.float32(view.height_m), haze, pictures)


def owners(
    flat: Flat, shapes: Shapes, *, view: View, actors: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Who is seen at each pixel ([H, W], negative: nobody), and how many pixels each would fill if nothing hid it."""
    seen, total = np.full(view.size_px[::-1], -1, np.int32), np.zeros(actors, np.int64)
    drawn = (flat.form, flat.box, shapes.look, shapes.kind, shapes.count, shapes.radius, shapes.owner)
    _draw_owners(seen, total, *drawn, (textures.pictures(), textures.picture_spans()))
    return seen, total
