"""What the commands of ``edgefusion rig`` do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgefusion.core.rig import examine_rig
from runtime.rig import begin, check, measure
from runtime.rig.findings import RigReport, speaker


def check_rig(path: Path, *, seconds: float | None = None, quiet: bool = False) -> RigReport:
    """Everything that can be said about a rig.toml.

    Args:
        path: the file.
        seconds: how long to watch its cameras; None leaves them alone. What is wrong in the file comes first.
        quiet: show no progress.

    Raises:
        RigError: the file cannot be read at all.
    """
    examined = examine_rig(path)
    report = check.check_static(path, examined)
    if examined.rig is None or report.errors or seconds is None:
        return report
    return measure.try_cameras(report, examined.rig, speaker(examined.lines), seconds=seconds, quiet=quiet)


def begin_rig(out: Path, *, simulated: bool, force: bool) -> dict[str, Any]:
    """Write a first rig.toml; where it is, its cameras, and what to do next.

    Raises:
        UsageError: there is one already, and ``force`` is not given.
        MachineError: the place is not writable, or there are no two cameras that would do.
    """
    cameras = begin.simulated() if simulated else begin.chosen(_devices())
    begin.write_rig(out, cameras, force=force)
    visible, thermal, _ = cameras
    return {
        "rig": str(out),
        "visible": f"{visible.device}, {visible.format.value} {visible.size_px[0]}x{visible.size_px[1]}",
        "thermal": f"{thermal.device}, {thermal.format.value} {thermal.size_px[0]}x{thermal.size_px[1]}",
        "next": f"edgefusion rig check {out} --open",
    }


def _devices() -> list[begin.Device]:
    from runtime.capture.v4l2 import list_devices

    return list(list_devices())
