"""Opening a recording: an MCAP file, a folder or two paths, images or videos, as one stream of frame pairs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgefusion.core.errors import RecordingError, UsageError
from edgefusion.core.frames import FramePair
from edgefusion.recordings import images, video

if TYPE_CHECKING:
    from edgefusion.core.rig import Rig


class Recording(Protocol):
    """Frame pairs of the past, in order.

    Attributes:
        length: number of pairs, 0 if unknown; of an MCAP file the most there can be.
        fps: frames per second, or None for still images, which are unrelated to each other.
    """

    length: int
    fps: float | None

    def __iter__(self) -> Iterator[FramePair]:
        """Each pair in turn."""


class ImageRecording:
    """Two folders of images, paired by name."""

    fps: float | None = None

    def __init__(self, visible: Path, thermal: Path, *, intersect: bool = False) -> None:
        self._pairs, alone = images.match_folders(visible, thermal, intersect=intersect)
        if alone:
            warnings.warn(f"left out, in one folder only: {images.first_names(alone)}", stacklevel=2)
        self.length = len(self._pairs)

    def __iter__(self) -> Iterator[FramePair]:
        return (pair.load(sequence) for sequence, pair in enumerate(self._pairs))


class VideoRecording:
    """Two videos of one rate, paired frame by frame."""

    def __init__(self, visible: Path, thermal: Path, *, intersect: bool = False) -> None:
        self._visible = video.VideoReader(visible, "visible")
        self._thermal = video.VideoReader(thermal, "thermal")
        self._intersect = intersect
        self.fps: float | None = self._visible.fps
        lengths = (self._visible.length, self._thermal.length)
        self.length = min(lengths)
        if all(lengths) and lengths[0] != lengths[1]:
            self._differ(f"visible has {lengths[0]} frames and thermal {lengths[1]}")
        if abs(self._visible.fps - self._thermal.fps) > 0.01:
            raise RecordingError(
                f"visible runs at {self._visible.fps:g} frames per second and thermal at {self._thermal.fps:g}",
                where=thermal,
                remedy="record both at one rate or convert one of them",
            )

    def __iter__(self) -> Iterator[FramePair]:
        visible, thermal = iter(self._visible), iter(self._thermal)
        while True:
            left, right = next(visible, None), next(thermal, None)
            if left is None or right is None:
                break
            yield FramePair(left, right)
        if left is not right and not self.length:
            self._differ(f"{'visible' if left is None else 'thermal'} ends first")

    def _differ(self, what: str) -> None:
        if not self._intersect:
            raise RecordingError(
                what, where=self._thermal.path, remedy="pass --intersect to fuse the frames that both have"
            )
        warnings.warn(f"{what}: fusing the frames that both have", stacklevel=3)


def open_recording(
    visible: Path,
    thermal: Path,
    *,
    intersect: bool = False,
    topics: tuple[str, str] | None = None,
    rig: Rig | None = None,
) -> Recording:
    """A recording from two folders of images, two videos, or an MCAP file, which is both cameras' path.

    Args:
        visible: folder or video of the visible camera, or an MCAP file.
        thermal: the same of the thermal camera; the same MCAP file.
        intersect: fuse what both have, with a warning, where names or frame counts do not match.
        topics: the visible and the thermal topic of an MCAP file; by default found by name or encoding.
        rig: whose tolerance and time offsets pair the frames of an MCAP file; see ``McapRecording``.

    Raises:
        RecordingError: missing, unreadable, or not matching.
    """
    for path in (visible, thermal):
        if not path.exists():
            raise RecordingError("no such file or folder", where=path)
    if visible.is_dir() != thermal.is_dir():
        raise RecordingError(f"one of {visible} and {thermal} is a folder and the other a file")
    if is_mcap(visible) or is_mcap(thermal):
        return _open_mcap(visible, thermal, topics, rig)
    kind: type[ImageRecording | VideoRecording] = ImageRecording if visible.is_dir() else VideoRecording
    return kind(visible, thermal, intersect=intersect)


def is_mcap(path: Path) -> bool:
    """Whether a path names an MCAP file."""
    return path.suffix.lower() == ".mcap" and not path.is_dir()


def _open_mcap(visible: Path, thermal: Path, topics: tuple[str, str] | None, rig: Rig | None) -> Recording:
    from edgefusion.recordings.mcap import McapRecording

    if visible != thermal:
        raise RecordingError(
            f"{visible} and {thermal} are not one MCAP file", remedy="give one that has both cameras as --recording"
        )
    return McapRecording(visible, topics, rig=rig)


def locate(path: Path) -> tuple[Path, Path]:
    """The two halves of a recording: ``visible/`` and ``thermal/``, the one video in each, or twice the MCAP file.

    Args:
        path: a folder with ``visible/`` and ``thermal/``, an MCAP file, or the folder of a ROS 2 bag with one in it.

    Raises:
        RecordingError: no such thing.
        UsageError: several videos or MCAP files to choose from.
    """
    if not path.exists():
        raise RecordingError(f"no such {'file' if is_mcap(path) else 'folder'}", where=path)
    if is_mcap(path):
        return path, path
    if not path.is_dir():
        raise RecordingError(
            "neither a folder nor an MCAP file", where=path, remedy="give two files with --visible and --thermal"
        )
    files = sorted(file for file in path.iterdir() if is_mcap(file))
    if not files or (path / "visible").is_dir():
        return _half(path / "visible"), _half(path / "thermal")
    if len(files) > 1:
        raise UsageError(
            f"several MCAP files ({images.first_names([file.name for file in files])})", where=path,
            remedy="give one of them, or join them with ros2 bag convert",
        )  # fmt: skip
    return files[0], files[0]


def _half(folder: Path) -> Path:
    if not folder.is_dir():
        raise RecordingError(
            f"no {folder.name}/ in it",
            where=folder.parent,
            remedy="a recording holds visible/ and thermal/, or is MCAP",
        )
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in video.SUFFIXES)
    if len(videos) > 1:
        names = images.first_names([path.name for path in videos])
        raise UsageError(f"several videos ({names})", where=folder, remedy="name one with --visible and --thermal")
    return videos[0] if videos else folder
