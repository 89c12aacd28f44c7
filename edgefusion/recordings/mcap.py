"""MCAP recordings of ROS 2 or edgefusion: two image topics, paired by the time of exposure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import FramePair
from edgefusion.recordings.mcap_file import McapFile
from edgefusion.recordings.mcap_topics import ImageTopics, Shot, TopicFrames, Topics
from edgefusion.recordings.pairing import SIDES, TOLERANCE_NS, Pairing, Side
from edgefusion.recordings.video import FALLBACK_FPS

if TYPE_CHECKING:
    from edgefusion.core.rig import Rig


class McapRecording:
    """Two topics of a file, each pair the nearest frames of the two by exposure, within a tolerance.

    Frames without a partner are left out: cameras of unequal rates always have some. A frame's sequence number counts
    all frames of its camera by exposure, so gaps in it are frames that were left out.

    Args:
        path: the file.
        topics: the visible and the thermal one; by default found by name or encoding.
        rig: what made it: its tolerance, and the ``time_offset_ns`` of its cameras, by which frames are paired; their
            timestamps stay as they are. Without one, the stamps are taken as they are, and ``TOLERANCE_NS``.

    Attributes:
        topics: the two that are read.
        length: the most pairs there can be: messages of the topic that has fewer.
        fps: of that topic.
        dropped: frames of each camera without a partner, in the last pass as far as it went.

    Raises:
        RecordingError: not a readable MCAP file, or topics that cannot be told apart or read.
    """

    def __init__(self, path: Path, topics: Topics | None = None, *, rig: Rig | None = None) -> None:
        self.path = path
        self._tolerance_ns = round(rig.tolerance_ms * 1e6) if rig else TOLERANCE_NS
        self._offset_ns: dict[Side, int] = {
            "visible": rig.visible.time_offset_ns if rig else 0,
            "thermal": rig.thermal.time_offset_ns if rig else 0,
        }
        self._file = McapFile(path)
        self._images = ImageTopics(self._file)
        for topic in topics or ():
            self._images.check(topic)
        self.topics = topics or self._images.find(remedy="pass --topics VISIBLE,THERMAL")
        self.length = min(self._file.topics[topic].messages for topic in self.topics)
        seconds = self._file.seconds
        self.fps: float | None = (self.length - 1) / seconds if self.length > 1 and seconds else FALLBACK_FPS
        self.dropped: dict[Side, int] = {"visible": 0, "thermal": 0}
        for topic in self.topics:
            # Warns of missing stamps now rather than in the middle of a run.
            self._images.shot(self._images.first(topic))

    def __iter__(self) -> Iterator[FramePair]:
        pairing: Pairing[Shot] = Pairing(self._tolerance_ns)
        self.dropped = pairing.dropped
        visible, thermal = (
            TopicFrames(side, self._images.where(topic)) for side, topic in zip(SIDES, self.topics, strict=True)
        )
        found = False
        for match in pairing.match(self._arrivals()):
            found = True
            yield FramePair(
                visible.frame(match.visible, match.visible_number), thermal.frame(match.thermal, match.thermal_number)
            )
        if not found:
            raise self._no_pair(pairing.nearest_ns)

    def _arrivals(self) -> Iterator[tuple[Side, int, Shot]]:
        sides = dict(zip(self.topics, SIDES, strict=True))
        for entry in self._file.read(self.topics):
            shot = self._images.shot(entry)
            side = sides[entry.topic]
            yield side, shot.timestamp_ns + self._offset_ns[side], shot

    def _no_pair(self, nearest_ns: int | None) -> RecordingError:
        names = dict(zip(SIDES, self.topics, strict=True))
        rates = [f"{side} runs at {self._rate(topic):.3g} frames per second" for side, topic in names.items()]
        nearest = "" if nearest_ns is None else f"; the nearest are {nearest_ns / 1e6:.1f} ms apart"
        return RecordingError(
            f"no visible and thermal frame within {self._tolerance_ns / 1e6:g} ms{nearest}; {' and '.join(rates)}",
            where=self.path, remedy="check that both cameras are stamped by one clock",
        )  # fmt: skip

    def _rate(self, topic: str) -> float:
        return self._file.topics[topic].messages / self._file.seconds if self._file.seconds else 0.0
