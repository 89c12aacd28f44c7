"""What can be said about a rig.toml without its cameras."""

from __future__ import annotations

import grp
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgefusion.core.errors import EdgeFusionError, MachineError
from edgefusion.core.frames import PixelFormat
from edgefusion.core.geometry import Registration, Size, grid, inverse
from edgefusion.core.rig import RING, Camera, Examined, Output, Rig
from edgefusion.recordings.pairing import Side
from edgefusion.ring.layout import NAME
from runtime.capture.base import open_camera, split_device
from runtime.rig.findings import Finding, RigReport, Say, speaker
from runtime.sinks import check_output

LITTLE_COVERAGE = 0.5
"""Less of the visible image than this is worth a warning: a registration of other sizes, or upside down."""


def check_static(path: Path, examined: Examined) -> RigReport:
    """Everything that is wrong with a rig.toml, or worth knowing about it, without opening anything."""
    rig, say = examined.rig, speaker(examined.lines)
    if rig is None or examined.mistakes:
        found = tuple(Finding("error", each.field, each.line, each.what) for each in examined.mistakes)
        return RigReport(str(path), findings=found)
    coverage = covered(rig.registration_for(*_sizes(rig)), *_sizes(rig))
    findings = (*_cameras(rig, say), *_times(rig, say), *_registration(rig, coverage, say), *_outputs(rig, say))
    return RigReport(str(path), rig.name, findings, round(coverage, 4))


def covered(registration: Registration, visible: Size, thermal: Size) -> float:
    """The share of a visible image's pixels whose thermal point lies within the thermal image, 0..1."""
    points = grid(visible, 101)
    ahead = np.column_stack([points, np.ones(len(points))]) @ registration.matrix[2] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = registration.points(points)
    within = (seen >= -0.5) & (seen <= np.array(thermal) - 0.5)
    return float((within.all(axis=1) & ahead).mean())


def _sizes(rig: Rig) -> tuple[Size, Size]:
    return rig.visible.size_px, rig.thermal.size_px


def _cameras(rig: Rig, say: Say) -> Iterator[Finding]:
    sides: tuple[tuple[Side, Camera], ...] = (("visible", rig.visible), ("thermal", rig.thermal))
    for side, camera in sides:
        yield from _even(side, camera, say)
        if camera.device is None:
            yield say("warning", side, "no device: this rig serves recordings, not live cameras")
        else:
            yield from _device(side, camera, say)
    one, other = rig.visible.device, rig.thermal.device
    if one and one == other and split_device(one)[0] == "v4l2":
        yield say("error", "thermal.device", f"{one} is the visible camera")


def _even(side: Side, camera: Camera, say: Say) -> Iterator[Finding]:
    width, height = camera.size_px
    if not camera.format.fits(width, height):
        name = "width and height" if camera.format is PixelFormat.NV12 else "width"
        yield say("error", f"{side}.size_px", f"{camera.format.value} needs an even {name}, not {width}x{height}")


def _device(side: Side, camera: Camera, say: Say) -> Iterator[Finding]:
    """Whether a device says what it must; making a camera opens nothing."""
    try:
        open_camera(side, camera)
    except MachineError as error:
        yield say("error", f"{side}.device", _plain(error, f"{side}.device"), error.exit_code)
    except EdgeFusionError as error:
        yield say("error", f"{side}.device", _plain(error, f"{side}.device"))
    kind, address = split_device(str(camera.device))
    if kind == "v4l2" and not Path(address).exists():
        yield say("warning", f"{side}.device", f"{address} is not there now")


def _plain(error: EdgeFusionError, field: str) -> str:
    """An error without the field's name, which stands before it already."""
    return str(error).removeprefix(f"{field}: ").removeprefix(f"{field} ")


def _times(rig: Rig, say: Say) -> Iterator[Finding]:
    hold_s, lost_s = rig.thermal.hold_s, rig.policy.lost_after_s
    sides: tuple[tuple[Side, Camera], ...] = (("visible", rig.visible), ("thermal", rig.thermal))
    for side, camera in sides:
        if camera.fps and 1 / camera.fps >= lost_s:
            period = f"{camera.fps:g} frames per second come every {1 / camera.fps:.2g} s"
            yield say("error", "policy.lost_after_s", f"{period}, so the {side} camera would always count as lost")
    if rig.thermal.fps and rig.visible.fps and rig.thermal.fps < rig.visible.fps and hold_s < 1 / rig.thermal.fps:
        what = (
            f"a thermal frame serves {hold_s:g} s, but comes every {1 / rig.thermal.fps:.2g} s: "
            "in between, visible frames pass through unfused"
        )
        yield say("warning", "thermal.hold_s", what)


def _registration(rig: Rig, coverage: float, say: Say) -> Iterator[Finding]:
    matrix = rig.registration_for(*_sizes(rig)).matrix
    if coverage < LITTLE_COVERAGE:
        what = f"the thermal camera sees {coverage:.0%} of the visible image"
        other = covered(Registration(inverse(matrix)), *_sizes(rig))
        hint = "its inverse would cover much more: it maps visible to thermal" if other > 2 * coverage else ""
        yield say("warning", "registration", "; ".join(filter(None, (what, hint))))
    if np.linalg.det(matrix[:2, :2]) < 0:
        yield say("warning", "registration", "it mirrors the image")
    if why := rig.lenses_ignored:
        what = f"the lenses of [calibration] are left out, the registration stands alone: {why}"
        yield say("warning", "registration", f"{what}; calibrate anew, or remove [calibration.visible] and .thermal")


def _outputs(rig: Rig, say: Say) -> Iterator[Finding]:
    places = [output.to for output in rig.outputs]
    for number, output in enumerate(rig.outputs):
        field = f"output.{number}"
        if output.to in places[:number]:
            yield say("error", f"{field}.to", f"{output.to} is named twice")
        yield from _ring(field, output, say) if output.to.startswith(RING) else _place(field, output, say)


def _ring(field: str, output: Output, say: Say) -> Iterator[Finding]:
    if not NAME.fullmatch(output.to.removeprefix(RING)):
        yield say("error", f"{field}.to", "a ring's name has up to 64 letters, digits, - and _, such as ring:front")
    mode = int(output.mode, 8)
    if not mode & 0o400:
        yield say("error", f"{field}.mode", f"{output.mode} keeps the ring even from this user; 0600 is usual")
    if mode & 0o007:
        yield say("warning", f"{field}.mode", f"{output.mode} lets every user of this machine see the frames")
    if mode & 0o022:
        yield say(
            "warning", f"{field}.mode", f"{output.mode} lets other users overwrite frames; readers need only 0640"
        )
    if output.group is not None:
        yield from _group(field, output.group, mode, say)


def _group(field: str, group: str, mode: int, say: Say) -> Iterator[Finding]:
    try:
        grp.getgrnam(group)
    except KeyError:
        yield say("error", f"{field}.group", f"this machine has no group {group}; make it with groupadd {group}", 3)
    if not mode & 0o040:
        yield say("warning", f"{field}.mode", f"the group {group} may not read this ring; 0640 lets it")


def _place(field: str, output: Output, say: Say) -> Iterator[Finding]:
    try:
        check_output(output.to)
    except MachineError as error:
        yield say("error", f"{field}.to", f"there is no folder {error.where}; make it first", error.exit_code)
    except EdgeFusionError as error:
        yield say("error", f"{field}.to", f"{error.what}; {error.remedy}")
