"""The one option by which every command takes a recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from edgefusion.core.errors import UsageError
from edgefusion.recordings.recording import Recording, locate, open_recording

Command = TypeVar("Command", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


def recording_options(command: Command) -> Command:
    """Add ``--recording``, ``--visible``, ``--thermal`` and ``--intersect``; pass them to ``chosen_recording``."""
    options = (
        click.option("--recording", type=_PATH, help="Folder with visible/ and thermal/: images, or a video each."),
        click.option("--visible", type=_PATH, help="Video, or folder of images, of the visible camera."),
        click.option("--thermal", type=_PATH, help="The same of the thermal camera."),
        click.option("--intersect", is_flag=True, help="Take what both cameras have where names or lengths differ."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def chosen_recording(
    recording: Path | None, visible: Path | None, thermal: Path | None, *, intersect: bool
) -> Recording | None:
    """What the options name, or None if they name nothing.

    Raises:
        UsageError: as ``chosen_paths``.
        RecordingError: missing, unreadable, or not matching.
    """
    paths = chosen_paths(recording, visible, thermal)
    return open_recording(*paths, intersect=intersect) if paths else None


def chosen_paths(recording: Path | None, visible: Path | None, thermal: Path | None) -> tuple[Path, Path] | None:
    """Where each camera's frames lie, or None if the options name nothing.

    Raises:
        UsageError: a folder and paths at once, or only one camera's path.
    """
    if recording and (visible or thermal):
        raise UsageError("--recording and --visible/--thermal name two recordings", remedy="give one of them")
    if recording:
        visible, thermal = locate(recording)
    if visible is None and thermal is None:
        return None
    if visible is None or thermal is None:
        missing = "--visible" if visible is None else "--thermal"
        raise UsageError(f"{missing} is missing", remedy="a recording needs both cameras")
    return visible, thermal
