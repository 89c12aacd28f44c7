"""The one option by which every command takes a recording, or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from edgefusion.core.errors import UsageError
from edgefusion.recordings.recording import Recording, is_mcap, locate, open_recording

if TYPE_CHECKING:
    from edgefusion.core.rig import Rig

Command = TypeVar("Command", bound=Callable[..., Any])

Topics = tuple[str, str]
"""Names of the visible and of the thermal topic."""

_PATH = click.Path(path_type=Path)


def recording_options(command: Command, *, multiple: bool = False) -> Command:
    """Add ``--recording``, ``--visible``, ``--thermal``, ``--topics`` and ``--intersect``.

    Pass them to ``chosen_paths``.
    """
    many: dict[str, Any] = {"type": _PATH, "multiple": multiple}
    options = (
        click.option(
            "--recording",
            **many,
            help="MCAP file, ROS 2 bag, or folder with visible/ and thermal/: images, or a video each.",
        ),
        click.option("--visible", **many, help="Video, or folder of images, of the visible camera."),
        click.option("--thermal", **many, help="The same of the thermal camera."),
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


def recordings_options(command: Command) -> Command:
    """The same, but each of the three may be repeated; pass them to ``chosen_recordings``."""
    return recording_options(command, multiple=True)


@dataclass(frozen=True)
class NamedRecording:
    """A recording as the command line names it; each ``open`` gives it from its first frame."""

    name: str
    open: Callable[..., Recording]

    def by(self, rig: Rig | None) -> NamedRecording:
        """The same, its frames paired as a rig says; see ``open_recording``."""
        return replace(self, open=partial(self.open, rig=rig)) if rig else self


def takes_recording(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of one recording that must be named, and call with it, a ``NamedRecording``, as ``named``."""

    @wraps(command)
    def call(
        *,
        recording: Path | None,
        visible: Path | None,
        thermal: Path | None,
        topics: Topics | None,
        intersect: bool,
        **options: Any,
    ) -> None:
        command(named=named_recording(recording, visible, thermal, intersect=intersect, topics=topics), **options)

    return recording_options(call)


def chosen_recordings(
    recording: Sequence[Path],
    visible: Sequence[Path],
    thermal: Sequence[Path],
    *,
    intersect: bool,
    topics: Topics | None = None,
) -> list[NamedRecording]:
    """Every recording that the options name: the folders, then the pairs of paths.

    Raises:
        UsageError: nothing is named, or not as many ``--visible`` as ``--thermal``.
    """
    if len(visible) != len(thermal):
        raise UsageError(
            f"--visible is given {len(visible)} times and --thermal {len(thermal)} times",
            remedy="a recording needs both cameras",
        )
    halves = list(zip(visible, thermal, strict=True))
    if not recording and not halves:
        raise UsageError("no recording is named", remedy="give --recording, or --visible and --thermal")
    named: list[tuple[str, tuple[Path | None, Path | None, Path | None]]] = [
        *((str(folder), (folder, None, None)) for folder in recording),
        *((f"{left} + {right}", (None, left, right)) for left, right in halves),
    ]
    opened = partial(_opened, intersect=intersect, topics=topics)
    return [NamedRecording(name, partial(opened, *paths)) for name, paths in named]


def named_recording(
    recording: Path | None, visible: Path | None, thermal: Path | None, *, intersect: bool, topics: Topics | None = None
) -> NamedRecording:
    """The one recording that the options name, which can be opened again and again.

    Raises:
        UsageError: nothing is named, or as ``chosen_paths``.
    """
    if recording is None and visible is None and thermal is None:
        raise UsageError("no recording is named", remedy="give --recording, or --visible and --thermal")
    name = str(recording) if recording else f"{visible} + {thermal}"
    return NamedRecording(name, partial(_opened, recording, visible, thermal, intersect=intersect, topics=topics))


def _opened(*paths: Path | None, intersect: bool, topics: Topics | None, rig: Rig | None = None) -> Recording:
    found = cast(tuple[Path, Path], chosen_paths(*paths, topics=topics))  # None only where no path is given
    return open_recording(*found, intersect=intersect, topics=topics, rig=rig)


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
