"""One camera of a recording, live again: ``replay:drive.mcap``, ``replay:drive.mcap#topic=/thermal&rate=2&loop=1``.

A file of ROS 2 or Foxglove, or the folder of a bag. Frames come when they were logged, and are stamped with their
exposure on CLOCK_MONOTONIC, so that they are as late as they were then; both cameras of one file share a time base.
Give both the same rate and loop. Size and format are those of the recording. A file that is cut short is read as far
as it is whole, with a warning.

    =======  ================================================================================================
    topic    by default the one whose name or encoding is that of this camera
    rate=1   2: twice as fast; 0.5: half as fast; max: as fast as frames are asked for; timestamps are as fast
    loop=0   1: from the start again, for ever
    =======  ================================================================================================
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import BeforeValidator, Field

from edgefusion.core import rig
from edgefusion.core.errors import RecordingError, RigError, RunError
from edgefusion.core.frames import Clock, Form, Frame, PixelFormat, Pixels
from edgefusion.recordings.mcap_file import Entry, McapFile
from edgefusion.recordings.mcap_topics import ImageTopics, TopicFrames
from edgefusion.recordings.pairing import SIDES, Side
from edgefusion.recordings.recording import is_mcap, locate
from runtime.capture.options import Options, parse_options
from runtime.capture.paced import PacedCamera
from runtime.capture.timeline import Seat, Timeline

FALLBACK_STEP_NS = 33_333_333
"""Between the last frame and the first one again, of a recording of one frame."""

LONGEST_LATENCY_NS = 1_000_000_000
"""Logged later than that after its exposure, or before it: then stamps and log are not of one clock."""

FARTHEST_NS = 10_000_000_000
"""A topic whose stamps are farther from those of the others than that has another clock."""


def _rate(text: Any) -> Any:
    return None if text == "max" else text


class ReplayOptions(Options):
    """What may stand behind the ``#``."""

    topic: str | None = Field(None, min_length=1, description="the name of an image topic")
    rate: Annotated[Annotated[float, Field(gt=0, le=1000)] | None, BeforeValidator(_rate)] = Field(
        1.0, description="more than 0, up to 1000, or max"
    )
    loop: int = Field(0, ge=0, le=1, description="0, or 1 to begin again at the end")


class ReplayCamera(PacedCamera):
    """One topic of a recording as a live camera; the module says what its address may be.

    Args:
        address: ``PATH#OPTIONS``.
        settings: how many buffers; the recording decides on size, format and rate.
        side: which camera it is.

    Raises:
        RigError: an option that is not possible.
    """

    def __init__(self, address: str, settings: rig.Camera, side: Side) -> None:
        path, _, options = address.partition("#")
        if not path:
            raise RigError("no recording is named", where=f"{side}.device", remedy="write replay:PATH.mcap")
        self._options = parse_options(options, ReplayOptions, where=f"{side}.device", separator="&")
        self._path, self._side = Path(path).expanduser(), side
        self._tape: Tape | None = None
        self._number = 0
        timeline = Timeline.shared(("replay", self._path.absolute(), self._options.loop), self._options.rate)
        super().__init__(Seat(timeline), settings.buffers)

    def _begin(self) -> Form:
        """See ``Camera.open``.

        Raises:
            RecordingError: no readable recording, or no such topic, or one that cannot be decoded.
        """
        tape = self._tape = self._tape or Tape(_file(self._path), self._options, self._side)
        tape.rewind()
        self._allocate(tape.form)
        rate = self._options.rate
        self.facts = {"kind": "replay", "memory": "host", "copies": 1, "rate": tape.fps * (rate or 1.0)}
        self.facts |= {"paced": self._paced, "topic": tape.topic}
        return tape.form

    def _end(self) -> None:
        if self._tape:
            self._tape.stop()

    def _due_ns(self, ahead: int) -> int | None:
        return self._playing.due_ns(ahead)

    def _skip(self) -> None:
        self._number += 1
        self._playing.pop()

    def _take(self, buffer: int) -> tuple[Pixels, PixelFormat, int, Clock, int]:
        number = self._number
        self._number += 1
        frame = self._playing.frame(self._playing.pop(), number)
        np.copyto(self._arrays[buffer], frame.pixels)
        return self._arrays[buffer], frame.format, frame.timestamp_ns, frame.clock, number

    @property
    def _playing(self) -> Tape:
        if self._tape is None:
            raise RunError("the camera is not open", remedy="open it first")
        return self._tape


class Place(NamedTuple):
    """Where an image lies: in which lap round the file, and what it is."""

    lap: int
    entry: Entry


class Tape:
    """The images of one topic in the file's own time, which is 0 at its first message.

    Attributes:
        topic: its name.
        form: format and size of its images.
        fps: its mean rate.

    Raises:
        RecordingError: see ``ReplayCamera``.
    """

    def __init__(self, file: McapFile, options: ReplayOptions, side: Side) -> None:
        self._file, self._loop = file, bool(options.loop)
        self._images = ImageTopics(file)
        self.topic = self._chosen(options.topic, side)
        self._frames = TopicFrames(side, self._images.where(self.topic))
        self._zero_ns = self._stamp_at_zero()
        count = max(topic.messages for topic in self._images.all())
        span_ns = file.end_ns - file.start_ns
        self._lap_ns = span_ns + (span_ns // (count - 1) if count > 1 and span_ns else FALLBACK_STEP_NS)
        self.fps = file.topics[self.topic].messages * 1e9 / self._lap_ns
        first = Place(0, self._images.first(self.topic))
        frame = self._frames.frame(self._images.shot(first.entry), 0)
        self.form = frame.form
        self._check_clock(first)
        self._lap, self._since_ns = 0, 0
        self._reading: Generator[Place, None, None] | None = None
        self._waiting: deque[Place] = deque()

    def rewind(self) -> None:
        """Read on from where it was stopped, or from the start."""
        self.stop()
        self._reading = self._places()

    def stop(self) -> None:
        """Close the file."""
        self._waiting.clear()
        if self._reading:
            self._reading.close()

    def due_ns(self, ahead: int) -> int | None:
        """When the image so many places after the next one was logged, in own time; None: there is none."""
        while len(self._waiting) <= ahead:
            place = next(self._reading, None) if self._reading else None
            if place is None:
                return None
            self._waiting.append(place)
        return self._logged_ns(self._waiting[ahead])

    def pop(self) -> Place:
        """The next image, which ``due_ns`` has shown to be there."""
        place = self._waiting.popleft()
        self._lap, self._since_ns = place.lap, place.entry.message.log_time + 1
        return place

    def frame(self, place: Place, number: int) -> Frame:
        """An image, stamped with its exposure in own time; its log time where it does not say.

        Raises:
            RecordingError: damaged, of an unknown encoding, or unlike the first one.
        """
        shot = self._images.shot(place.entry)
        frame = self._frames.frame(shot, number)
        if shot.clock == "receive":
            return replace(frame, timestamp_ns=self._logged_ns(place))
        return replace(frame, timestamp_ns=self._exposed_ns(shot.timestamp_ns, place.lap), clock="monotonic")

    def _places(self) -> Generator[Place, None, None]:
        since_ns = self._since_ns
        for lap in itertools.count(self._lap):
            found = False
            for entry in self._file.read([self.topic]):
                found = True
                if entry.message.log_time >= since_ns:
                    yield Place(lap, entry)
            if not self._loop or not found:
                return
            since_ns = 0

    def _chosen(self, topic: str | None, side: Side) -> str:
        if topic:
            self._images.check(topic)
            return topic
        return self._images.find(remedy="name one: replay:PATH.mcap#topic=TOPIC")[SIDES.index(side)]

    def _stamp_at_zero(self) -> int:
        """What a stamp is at own time 0, the same for every topic: by the first image that says when it was exposed.

        Stamps may be of another clock than the log; then that image counts as logged when it was exposed.
        """
        stamped = [(logged_ns, stamp_ns) for logged_ns, stamp_ns in self._images.first_times() if stamp_ns]
        logged_ns, stamp_ns = min(stamped, default=(self._file.start_ns, self._file.start_ns))
        latency_ns = logged_ns - stamp_ns
        return stamp_ns + (latency_ns if 0 <= latency_ns <= LONGEST_LATENCY_NS else 0) - self._own_ns(logged_ns)

    def _check_clock(self, first: Place) -> None:
        shot = self._images.shot(first.entry)
        apart_ns = self._exposed_ns(shot.timestamp_ns, 0) - self._logged_ns(first)
        if shot.clock != "receive" and abs(apart_ns) > FARTHEST_NS:
            raise RecordingError(
                f"its stamps are {abs(apart_ns) / 1e9:.0f} s from those of the file's other images",
                where=self._images.where(self.topic), remedy="record both cameras with stamps of one clock",
            )  # fmt: skip

    def _own_ns(self, logged_ns: int) -> int:
        return logged_ns - self._file.start_ns

    def _logged_ns(self, place: Place) -> int:
        return self._own_ns(place.entry.message.log_time) + place.lap * self._lap_ns

    def _exposed_ns(self, stamp_ns: int, lap: int) -> int:
        return stamp_ns - self._zero_ns + lap * self._lap_ns


def _file(path: Path) -> McapFile:
    if path.is_dir():
        path = locate(path)[0]
        if not is_mcap(path):
            raise RecordingError("no MCAP file", where=path, remedy="replay takes MCAP files and folders with one")
    return McapFile(path)
