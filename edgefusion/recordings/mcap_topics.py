"""The image topics of an MCAP file: which is which camera's, and their messages with the time of exposure."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import Clock, Form, Frame
from edgefusion.recordings.mcap_file import Entry, McapFile, Topic
from edgefusion.recordings.mcap_images import Decoder, is_image, pixels_of, side_by_encoding, stamp_ns
from edgefusion.recordings.pairing import SIDES, Side

Topics = tuple[str, str]
"""Names of the visible and of the thermal topic."""

THERMAL_WORDS = {"thermal", "lwir", "infrared", "ir", "boson", "lepton", "flir"}
VISIBLE_WORDS = {"visible", "rgb", "color", "colour", "camera", "cam"}
OTHER_WORDS = {"depth", "disparity", "fused"}
"""What a topic is, by the words of its path; the first of these rules that fits: other, thermal, visible."""


class Shot(NamedTuple):
    """An image whose pixels are not decoded yet.

    ``timestamp_ns`` is when it was exposed, on ``clock``: realtime, or receive where its source does not say.
    """

    message: Any
    timestamp_ns: int
    clock: Clock


class ImageTopics:
    """The topics of a file that are images."""

    def __init__(self, file: McapFile) -> None:
        self._file = file
        self._decode = Decoder()
        self._warned: set[str] = set()

    def check(self, topic: str) -> None:
        """Raise RecordingError unless there is such a topic, and it is of images."""
        if topic not in self._file.topics:
            raise RecordingError(f"no topic {topic}; {self._listed(self.all())}", where=self._file.path)
        if not is_image(self._file.topics[topic]):
            kind = self._file.topics[topic].type
            raise RecordingError(f"{topic} is no image ({kind}); {self._listed(self.all())}", where=self._file.path)

    def find(self, *, remedy: str) -> Topics:
        """The visible and the thermal topic, by their names or encodings.

        Args:
            remedy: how one can name them.

        Raises:
            RecordingError: there is not one of each.
        """
        candidates = self.all()
        if not candidates:
            raise RecordingError(f"no image topic; {self._listed(self._file.topics.values())}", where=self._file.path)
        sides = [(topic.name, self._side(topic.name)) for topic in candidates]
        visible, thermal = ([name for name, side in sides if side == wanted] for wanted in SIDES)
        if len(visible) == len(thermal) == 1:
            return visible[0], thermal[0]
        raise RecordingError(
            f"which topics are visible and thermal is not certain; {self._listed(candidates)}",
            where=self._file.path, remedy=remedy,
        )  # fmt: skip

    def shot(self, entry: Entry) -> Shot:
        """A message with its time; warns once of a topic that does not say when it was exposed.

        Raises:
            RecordingError: it cannot be decoded.
        """
        message = self._decode(entry)
        if exposed_ns := stamp_ns(message):
            return Shot(message, exposed_ns, "realtime")
        if entry.topic not in self._warned:
            self._warned.add(entry.topic)
            text = "images without a time of exposure: taking the time they were logged"
            warnings.warn(f"{self.where(entry.topic)}: {text}", stacklevel=4)
        return Shot(message, entry.message.log_time, "receive")

    def first(self, topic: str) -> Entry:
        """The first message of a topic."""
        return next(self._file.read([topic]))

    def first_times(self) -> list[tuple[int, int]]:
        """When the first image of each topic was logged, and its stamp, 0 without one."""
        times = []
        for topic in self.all():
            with suppress(RecordingError):  # whoever reads that topic is told
                entry = self.first(topic.name)
                times.append((entry.message.log_time, stamp_ns(self._decode(entry))))
        return times

    def all(self) -> list[Topic]:
        """Those that are images which can be read here."""
        return [topic for topic in self._file.topics.values() if is_image(topic)]

    def where(self, topic: str) -> str:
        """A topic in words, for errors."""
        return f"{self._file.path}: {topic}"

    def _side(self, topic: str) -> Side | None:
        words = set(re.split(r"[^a-z0-9]+", topic.lower()))
        if words & OTHER_WORDS:
            return None
        if words & THERMAL_WORDS:
            return "thermal"
        if words & VISIBLE_WORDS:
            return "visible"
        return side_by_encoding(self._decode(self.first(topic)), self.where(topic))

    @staticmethod
    def _listed(topics: Iterable[Topic]) -> str:
        listed = ", ".join(f"{topic.name} ({topic.type})" for topic in topics)
        return f"it has {listed}" if listed else "it has no image topic"


class TopicFrames:
    """Makes the frames of one topic, which are all of one size and format."""

    def __init__(self, side: Side, where: str) -> None:
        self._side, self._where = side, where
        self._form: Form | None = None

    def frame(self, shot: Shot, number: int) -> Frame:
        """The decoded frame.

        Raises:
            RecordingError: damaged, of an unknown encoding, or unlike those before it.
        """
        where = f"{self._where}, frame {number}"
        pixels, kind = pixels_of(shot.message, self._side, where)
        frame = Frame(pixels, kind, shot.timestamp_ns, shot.clock, number)
        form = frame.form
        if self._form not in (None, form):
            raise RecordingError(f"it is {_words(form)}, those before it {_words(self._form)}", where=where)
        self._form = form
        return frame


def _words(form: Form | None) -> str:
    return f"{form[0].value} {form[1][0]}x{form[1][1]}" if form else ""
