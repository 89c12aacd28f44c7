"""The second look: the recordings are packed once more, in order, and what was chosen is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from calibrate.frames.packed import Packed, Packing, packed
from calibrate.frames.page import thumbnail
from calibrate.frames.selection import Selection, reason_of
from calibrate.frames.survey import Candidate
from edgefusion.core.calibration import CalibrationWriter, ChosenFrame
from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import light_of
from edgefusion.core.progress import Advance
from edgefusion.recordings.options import NamedRecording

HELD = "spread evenly over the time that is kept for the holdout"

Place = tuple[int, int]
"""Recording and sequence number of a frame."""


def place_of(candidate: Candidate) -> Place:
    """Where a candidate is."""
    return candidate.recording, candidate.sequence


@dataclass
class Stored:
    """What was written: the facts and a small picture of each frame, by its place."""

    frames: dict[Place, ChosenFrame] = field(default_factory=dict)
    thumbnails: dict[Place, str] = field(default_factory=dict)

    def in_order(self, candidates: Sequence[Candidate]) -> tuple[ChosenFrame, ...]:
        """The facts of these."""
        return tuple(self.frames[place_of(candidate)] for candidate in candidates)


def store(
    recordings: Sequence[NamedRecording],
    packing: Packing,
    selection: Selection,
    writer: CalibrationWriter,
    *,
    seed: int,
    advance: Advance,
) -> Stored:
    """Pack the recordings again and write the frames of a selection.

    Raises:
        RecordingError: a recording is not what it was at the first look.
    """
    reasons = {place_of(candidate): HELD for candidate in selection.holdout}
    for choice, candidate in zip(selection.choices, selection.training, strict=True):
        reasons[place_of(candidate)] = reason_of(choice, seed=seed)
    stored = Stored()
    for number, named in enumerate(recordings):
        left = {place[1] for place in reasons if place[0] == number}
        frames = iter(packed(named.open(), packing)) if left else iter(())
        while left:
            frame = next(frames, None)
            if frame is None:
                raise RecordingError("it became shorter while it was read", where=named.name, remedy="run it again")
            if frame.sequence in left:
                left.remove(frame.sequence)
                _keep(stored, (number, frame.sequence), frame, reasons, writer)
            advance(1)
    return stored


def _keep(stored: Stored, place: Place, frame: Packed, reasons: Mapping[Place, str], writer: CalibrationWriter) -> None:
    luma = float(frame.x[:16].mean())
    stored.thumbnails[place] = thumbnail(frame.x)
    stored.frames[place] = writer.add(
        frame.x,
        recording=place[0],
        sequence=frame.sequence,
        timestamp_ns=frame.pair.visible.timestamp_ns,
        name=frame.pair.name,
        light=light_of(luma),
        luma=round(luma, 4),
        agc_range=frame.agc_range,
        reason=reasons[place],
    )
