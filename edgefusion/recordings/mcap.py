"""MCAP recordings of ROS 2 or edgefusion: two image topics, paired by the time of exposure."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import Clock, Frame, FramePair, PixelFormat
from edgefusion.recordings.mcap_file import Entry, McapFile, Topic
from edgefusion.recordings.mcap_images import Decoder, is_image, pixels_of, side_by_encoding, stamp_ns
from edgefusion.recordings.pairing import TOLERANCE_NS, Pairing, Side
from edgefusion.recordings.video import FALLBACK_FPS

Topics = tuple[str, str]
"""Names of the visible and of the thermal topic."""

THERMAL_WORDS = {"thermal", "lwir", "infrared", "ir", "boson", "lepton", "flir"}
VISIBLE_WORDS = {"visible", "rgb", "color", "colour", "camera", "cam"}
OTHER_WORDS = {"depth", "disparity", "fused"}
"""What a topic is, by the words of its path; the first of these rules that fits: other, thermal, visible."""


_SIDES: tuple[Side, Side] = ("visible", "thermal")


class _Shot(NamedTuple):
    """An image whose pixels are not decoded yet."""

    message: Any
    timestamp_ns: int
    clock: Clock


class McapRecording:
    """Two topics of a file, each pair the nearest frames of the two by exposure, at most ``TOLERANCE_NS`` apart.

    Frames without a partner are left out: cameras of unequal rates always have some. A frame's sequence number counts
    all frames of its camera by exposure, so gaps in it are frames that were left out.

    Args:
        path: the file.
        topics: the visible and the thermal one; by default found by name or encoding.

    Attributes:
        topics: the two that are read.
        length: the most pairs there can be: messages of the topic that has fewer.
        fps: of that topic.
        dropped: frames of each camera without a partner, in the last pass as far as it went.

    Raises:
        RecordingError: not a readable MCAP file, or topics that cannot be told apart or read.
    """

    def __init__(self, path: Path, topics: Topics | None = None) -> None:
        self.path = path
        self._file = McapFile(path)
        self._decode = Decoder()
        self._warned: set[str] = set()
        self.topics = self._named(topics) if topics else self._found()
        self.length = min(self._file.topics[topic].messages for topic in self.topics)
        seconds = self._file.seconds
        self.fps: float | None = (self.length - 1) / seconds if self.length > 1 and seconds else FALLBACK_FPS
        self.dropped: dict[Side, int] = {"visible": 0, "thermal": 0}
        for topic in self.topics:
            self._shot(self._first(topic))  # warns of missing stamps now rather than in the middle of a run

    def __iter__(self) -> Iterator[FramePair]:
        pairing: Pairing[_Shot] = Pairing()
        self.dropped = pairing.dropped
        visible, thermal = (_Camera(side, self._where(topic)) for side, topic in zip(_SIDES, self.topics, strict=True))
        found = False
        for match in pairing.match(self._arrivals()):
            found = True
            yield FramePair(
                visible.frame(match.visible, match.visible_number), thermal.frame(match.thermal, match.thermal_number)
            )
        if not found:
            raise self._no_pair(pairing.nearest_ns)

    def _arrivals(self) -> Iterator[tuple[Side, int, _Shot]]:
        sides = dict(zip(self.topics, _SIDES, strict=True))
        for entry in self._file.read(self.topics):
            shot = self._shot(entry)
            yield sides[entry.topic], shot.timestamp_ns, shot

    def _shot(self, entry: Entry) -> _Shot:
        message = self._decode(entry)
        if exposed_ns := stamp_ns(message):
            return _Shot(message, exposed_ns, "realtime")
        if entry.topic not in self._warned:
            self._warned.add(entry.topic)
            text = "images without a time of exposure: taking the time they were logged"
            warnings.warn(f"{self._where(entry.topic)}: {text}", stacklevel=4)
        return _Shot(message, entry.message.log_time, "receive")

    def _first(self, topic: str) -> Entry:
        return next(self._file.read([topic]))

    def _where(self, topic: str) -> str:
        return f"{self.path}: {topic}"

    def _named(self, topics: Topics) -> Topics:
        for name in topics:
            if name not in self._file.topics:
                raise RecordingError(f"no topic {name}; {self._listed(self._images())}", where=self.path)
            if not is_image(self._file.topics[name]):
                kind = self._file.topics[name].type
                raise RecordingError(f"{name} is no image ({kind}); {self._listed(self._images())}", where=self.path)
        return topics

    def _found(self) -> Topics:
        candidates = self._images()
        if not candidates:
            raise RecordingError(f"no image topic; {self._listed(self._file.topics.values())}", where=self.path)
        sides = [(topic.name, self._side(topic.name)) for topic in candidates]
        visible, thermal = ([name for name, side in sides if side == wanted] for wanted in _SIDES)
        if len(visible) == len(thermal) == 1:
            return visible[0], thermal[0]
        raise RecordingError(
            f"which topics are visible and thermal is not certain; {self._listed(candidates)}",
            where=self.path, remedy="pass --topics VISIBLE,THERMAL",
        )  # fmt: skip

    def _images(self) -> list[Topic]:
        return [topic for topic in self._file.topics.values() if is_image(topic)]

    def _side(self, topic: str) -> Side | None:
        words = set(re.split(r"[^a-z0-9]+", topic.lower()))
        if words & OTHER_WORDS:
            return None
        if words & THERMAL_WORDS:
            return "thermal"
        if words & VISIBLE_WORDS:
            return "visible"
        return side_by_encoding(self._decode(self._first(topic)), self._where(topic))

    @staticmethod
    def _listed(topics: Iterable[Topic]) -> str:
        listed = ", ".join(f"{topic.name} ({topic.type})" for topic in topics)
        return f"it has {listed}" if listed else "it has no image topic"

    def _no_pair(self, nearest_ns: int | None) -> RecordingError:
        names = dict(zip(_SIDES, self.topics, strict=True))
        rates = [f"{side} runs at {self._rate(topic):.3g} frames per second" for side, topic in names.items()]
        nearest = "" if nearest_ns is None else f"; the nearest are {nearest_ns / 1e6:.1f} ms apart"
        return RecordingError(
            f"no visible and thermal frame within {TOLERANCE_NS / 1e6:.0f} ms{nearest}; {' and '.join(rates)}",
            where=self.path, remedy="check that both cameras are stamped by one clock",
        )  # fmt: skip

    def _rate(self, topic: str) -> float:
        return self._file.topics[topic].messages / self._file.seconds if self._file.seconds else 0.0


class _Camera:
    """Makes the frames of one topic, which are all of one size and format."""

    def __init__(self, side: Side, where: str) -> None:
        self._side, self._where = side, where
        self._form: tuple[PixelFormat, tuple[int, int]] | None = None

    def frame(self, shot: _Shot, number: int) -> Frame:
        where = f"{self._where}, frame {number}"
        pixels, kind = pixels_of(shot.message, self._side, where)
        frame = Frame(pixels, kind, shot.timestamp_ns, shot.clock, number)
        form = (kind, frame.size_px)
        if self._form not in (None, form):
            raise RecordingError(f"it is {_words(form)}, those before it {_words(self._form)}", where=where)
        self._form = form
        return frame


def _words(form: tuple[PixelFormat, tuple[int, int]] | None) -> str:
    return f"{form[0].value} {form[1][0]}x{form[1][1]}" if form else ""
