"""A video that was fused before, as an entry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.frames import FramePair
from edgefusion.recordings import video
from edgefusion.recordings.images import ImagePair
from runtime.evaluate.clips import Clip, Cursor
from runtime.evaluate.entries import Fuse, Fused, named_path
from runtime.evaluate.views import luma


@dataclass(frozen=True)
class FusedVideo:
    """The frames of a clip, fused by whatever method: luma of them is taken."""

    name: str
    path: Path
    kind = "video"
    identity = "video"
    smallest_side_px = 1
    fuses = False

    @property
    def facts(self) -> dict[str, str]:
        """None."""
        return {}

    def reads(self, pair: ImagePair) -> Path | None:
        """The video."""
        return self.path

    def open(self) -> Fuse:
        """Read the frame of a pair's number."""
        frames = Cursor(lambda: iter(video.VideoReader(self.path, "visible")), self.path)

        def fuse(pair: FramePair) -> Fused:
            rgb = frames(pair.visible.sequence).pixels.astype("uint8", copy=False)
            return Fused(luma(rgb), lambda: rgb)

        return fuse


def find_fused_video(given: str, clip: Clip, *, whole: bool) -> FusedVideo:
    """The fused frames of a clip, from ``NAME=VIDEO``, or ``NAME=DIR`` with one video in it.

    Args:
        given: the option's text.
        clip: the clip.
        whole: the clip is taken as a whole, so the video must be as long.

    Raises:
        UsageError: not of that form, or a folder of images.
        InputError: no such video, or of another size or length.
    """
    name, place = named_path(given)
    path = _video(place)
    reader = video.VideoReader(path, "visible")
    if reader.size_px != clip.size_px:
        sizes = ["x".join(map(str, size)) for size in (reader.size_px, clip.size_px)]
        raise InputError(f"its frames are {sizes[0]}, the clip's {sizes[1]}", where=path)
    frames = sum(1 for _ in reader)
    if frames < clip.frames or (whole and frames > clip.frames):
        raise InputError(
            f"it has {frames} frames, the clip {clip.frames}", where=path, remedy="fuse the very clip, or take --frames"
        )
    return FusedVideo(name, path)


def _video(path: Path) -> Path:
    if not path.is_dir():
        return path
    videos = [found for found in sorted(path.iterdir()) if found.suffix.lower() in video.SUFFIXES]
    if len(videos) != 1:
        raise UsageError(
            f"{len(videos)} videos in it", where=path, remedy="of a clip, give NAME=VIDEO or a folder with one video"
        )
    return videos[0]
