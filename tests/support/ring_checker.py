"""A process that reads a ring, once there is one, and checks every frame; it prints what it found as JSON at its end.

    python ring_checker.py NAME PERIOD

``PERIOD`` is after how many frames the scene repeats (a pre-rendered rig), so that each frame can be compared with
the one of the same scene before. They differ a little, because the thermal range follows the stream.
"""

from __future__ import annotations

import json
import sys
import time
import zlib

import numpy as np

import edgefusion

TOLERANCE = 6.0
"""Mean levels by which frames of one scene may differ, once the range has settled."""
SETTLED = 90


def check(name: str, period: int) -> dict[str, int]:
    found = dict.fromkeys(("received", "missed", "disordered", "overwritten", "wrong", "compared"), 0)
    scenes: dict[int, np.ndarray] = {}
    last_id = last_ns = -1
    with edgefusion.subscribe(name, timeout_s=20, every=True, reconnect=False) as frames:
        for frame in frames:
            mark = zlib.adler32(frame.rgb)
            found["received"] += 1
            found["disordered"] += frame.frame_id <= last_id or frame.timestamp_ns <= last_ns
            last_id, last_ns = frame.frame_id, frame.timestamp_ns
            small, scene = frame.rgb[::8, ::8].astype(np.int16), frame.visible_sequence % period
            if frame.frame_id > SETTLED and scene in scenes:
                found["compared"] += 1
                found["wrong"] += bool(np.abs(small - scenes[scene]).mean() > TOLERANCE)
            scenes[scene] = small
            found["overwritten"] += zlib.adler32(frame.rgb) != mark
            found["missed"] = frames.missed
    return found


def wait_for(name: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while name not in edgefusion.list_rings():
        if time.monotonic() > end:
            raise TimeoutError(name)
        time.sleep(0.02)


if __name__ == "__main__":
    wait_for(sys.argv[1])
    print(json.dumps(check(sys.argv[1], int(sys.argv[2]))))
