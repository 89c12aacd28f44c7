"""Commands of the calibrate room: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefusion.recordings.options import chosen_recordings, recordings_options

_PATH = click.Path(path_type=Path)


@click.group()
def calibrate() -> None:
    """Choose the frames of a recording that quantization is calibrated on."""


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
