"""Commands of the calibrate room: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefusion.recordings.options import NamedRecording, chosen_recordings, recordings_options, takes_recording

_PATH = click.Path(path_type=Path)


@click.group()
def calibrate() -> None:
    """Measure a rig's geometry; choose the frames of a recording that quantization is calibrated on."""


@calibrate.command()
@recordings_options
@click.option("--rig", "rig_path", type=_PATH, help="rig.toml with the registration of the two cameras.")
@click.option("--bundle", "bundle_path", type=_PATH, help="Bundle of the student to calibrate; the shipped by default.")
@click.option("--count", type=click.IntRange(1, 4096), default=256, show_default=True, help="Frames to calibrate on.")
@click.option(
    "--holdout-count", type=click.IntRange(1, 4096), default=64, show_default=True, help="Frames to judge on."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the first frame, and of the holdout of still images.",
)
@click.option("--out", type=_PATH, required=True, help="Folder for the set; a set that is there is replaced.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def frames(
    recording: tuple[Path, ...],
    visible: tuple[Path, ...],
    thermal: tuple[Path, ...],
    topics: tuple[str, str] | None,
    intersect: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Choose frames that cover the light, thermal contrast, motion and scenes of recordings.

    --recording, or --visible with --thermal, may be repeated. Near-duplicates, frozen cameras and empty pictures are
    left out. The last fifth of each recording is kept to judge on. What is missing is said, and shown in coverage.html.
    """
    from calibrate.frames import job, text

    recordings = chosen_recordings(recording, visible, thermal, intersect=intersect, topics=topics)
    result = job.calibrate_frames(recordings, job.FramesSettings(**options, quiet=as_json))
    click.echo(text.to_json(result) if as_json else text.describe(result))


@calibrate.command("rig")
@takes_recording
@click.option("--rig", "rig_path", type=_PATH, help="rig.toml to start from; all else in it stays.")
@click.option("--target", help="checkerboard:9x6:30mm (inner corners), circles:4x11:20mm, charuco:7x5:40mm (squares).")
@click.option("--targetless", is_flag=True, help="From an ordinary drive: the registration and the time offset.")
@click.option(
    "--model",
    type=click.Choice(["similarity", "homography", "lens"]),
    help="Of --targetless: what the registration may be; homography by default. lens: with a radial term.",
)
@click.option("--out", type=_PATH, required=True, help="rig.toml to write; it may be that of --rig.")
@click.option(
    "--reference-m",
    type=click.FloatRange(0.2, 1000),
    default=15.0,
    show_default=True,
    help="Distance that the registration is right for.",
)
@click.option("--baseline", help="Distance between the two lenses by ruler, such as 60mm; a check on --target's size.")
@click.option("--html", "page", type=_PATH, help="Page with overlays, residuals, coverage and parallax.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def rig_(named: NamedRecording, **options: Any) -> None:
    """Measure where thermal sees what visible shows, and write it into rig.toml.

    With --target: from a recording of a board that both cameras see, the lenses of both cameras, their pose, and the
    registration with its parallax by distance. With --targetless: from an ordinary drive. What a recording does not
    determine is refused with the reason, and nothing is written.
    """
    from calibrate.rig import command

    click.echo(command.calibrate(named, **options))


@calibrate.command()
@takes_recording
@click.option("--rig", "rig_path", type=_PATH, required=True, help="rig.toml to judge.")
@click.option(
    "--limit-px",
    type=click.FloatRange(0.1, 100),
    default=3.0,
    show_default=True,
    help="Misalignment, in visible pixels, beyond which the registration counts as off.",
)
@click.option("--html", "page", type=_PATH, help="Page with overlays and the misalignment of each region.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def check(named: NamedRecording, **options: Any) -> None:
    """Say how far a rig's registration is off on a recording, and where; exit code 5 if it is beyond the limit."""
    from calibrate.rig import command

    words, good = command.check(named, **options)
    click.echo(words)
    if not good:
        raise SystemExit(5)
