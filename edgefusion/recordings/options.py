"""The one option by which every command takes a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgefusion.core.errors import UsageError
from edgefusion.recordings.recording import Recording, is_mcap, locate, open_recording

Command = TypeVar("Command", bound=Callable[..., Any])

Topics = tuple[str, str]
"""Names of the visible and of the thermal topic."""

_PATH = click.Path(path_type=Path)


def recording_options(command: Command) -> Command:
    """Add ``--recording``, ``--visible``, ``--thermal``, ``--topics`` and ``--intersect``.

    Pass them to ``chosen_recording`` or ``chosen_paths``.
    """
    options = (
        click.option(
            "--recording",
            type=_PATH,
            help="MCAP file, ROS 2 bag, or folder with visible/ and thermal/: images, or a video each.",
        ),
        click.option("--visible", type=_PATH, help="Video, or folder of images, of the visible camera."),
        click.option("--thermal", type=_PATH, help="The same of the thermal camera."),
        click.option(
            "--topics", callback=_topics, metavar="VISIBLE,THERMAL", help="Of an MCAP file, where names do not tell."
        ),
        click.option("--intersect", is_flag=True, help="Take what both cameras have where names or lengths differ."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _topics(context: click.Context, parameter: click.Parameter, value: str | None) -> Topics | None:
    if value is None:
        return None
    names = [name.strip() for name in value.split(",")]
    if len(names) != 2 or not all(names) or names[0] == names[1]:
        raise UsageError(f"--topics {value!r} does not name two topics", remedy="give --topics VISIBLE,THERMAL")
    return names[0], names[1]


def chosen_recording(
    recording: Path | None, visible: Path | None, thermal: Path | None, *, intersect: bool, topics: Topics | None = None
) -> Recording | None:
    """What the options name, or None if they name nothing.

    Raises:
        UsageError: as ``chosen_paths``.
        RecordingError: missing, unreadable, or not matching.
    """
    paths = chosen_paths(recording, visible, thermal, topics=topics)
    return open_recording(*paths, intersect=intersect, topics=topics) if paths else None


def chosen_paths(
    recording: Path | None, visible: Path | None, thermal: Path | None, *, topics: Topics | None = None
) -> tuple[Path, Path] | None:
    """Where each camera's frames lie, twice the same MCAP file, or None if the options name nothing.

    Raises:
        UsageError: a folder and paths at once, only one camera's path, or topics of what is no MCAP file.
    """
    if recording and (visible or thermal):
        raise UsageError("--recording and --visible/--thermal name two recordings", remedy="give one of them")
    if recording:
        visible, thermal = locate(recording)
    if topics and not (visible and is_mcap(visible)):
        raise UsageError("--topics is for MCAP recordings", remedy="leave it out, or give an .mcap file as --recording")
    if visible is None and thermal is None:
        return None
    if visible is None or thermal is None:
        missing = "--visible" if visible is None else "--thermal"
        raise UsageError(f"{missing} is missing", remedy="a recording needs both cameras")
    return visible, thermal
