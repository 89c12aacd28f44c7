"""A process that reads a ring and checks every frame; it prints what it found as JSON when the ring ends.

    python ring_checker.py NAME PERIOD

``PERIOD`` is after how many frames the scene repeats (a pre-rendered rig), so that each frame can be compared with
the one that far before. The images differ a little, because the thermal range follows the stream.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections import deque

import numpy as np

import edgefusion
from edgefusion.core.errors import RingLostError

TOLERANCE = 6.0
"""Mean levels by which a frame may differ from that of the same scene before it, once the range has settled."""
SETTLED = 90


def check(name: str, period: int) -> dict[str, int]:
    found = dict.fromkeys(("received", "missed", "disordered", "overwritten", "wrong", "late"), 0)
    before: deque[tuple[int, np.ndarray]] = deque(maxlen=period)
    last_id = last_ns = -1
    with edgefusion.subscribe(name, timeout_s=60, every=True) as frames:
        try:
            for frame in frames:
                mark = zlib.adler32(frame.rgb)
                found["received"] += 1
                found["disordered"] += frame.frame_id <= last_id or frame.timestamp_ns <= last_ns
                last_id, last_ns = frame.frame_id, frame.timestamp_ns
                small = frame.rgb[::8, ::8].astype(np.int16)
                if frame.frame_id > SETTLED and len(before) == period and before[0][0] == frame.frame_id - period:
                    found["wrong"] += bool(np.abs(small - before[0][1]).mean() > TOLERANCE)
                before.append((frame.frame_id, small))
                found["overwritten"] += zlib.adler32(frame.rgb) != mark
                found["missed"] = frames.missed
                frames_reconnect_off(frames)
        except RingLostError:
            pass
    return found


def frames_reconnect_off(frames: edgefusion.Subscription) -> None:
    """After the first frame the ring's end is the end."""


if __name__ == "__main__":
    print(json.dumps(check(sys.argv[1], int(sys.argv[2]))))
