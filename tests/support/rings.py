"""Writers and readers of rings in processes of their own, to be killed, stopped and looked at.

Every pixel of frame i is ``shade(i)``: a frame that is torn, or another one than it says, shows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edgefusion.core.errors import EdgeFusionError
from edgefusion.core.frames import FusedInfo
from edgefusion.ring.frame import Rgb, RingFrame
from edgefusion.ring.reader import subscribe
from edgefusion.ring.writer import RingWriter

SIZE = (160, 120)


def shade(frame_id: int) -> int:
    return frame_id % 251


def facts(frame_id: int) -> FusedInfo:
    return FusedInfo(frame_id, 10**9 + frame_id, "monotonic", frame_id, frame_id - 1, thermal_age_ns=5)


def publish(ring: RingWriter, frame_id: int) -> bool:
    """Whether there was a slot."""
    if (slot := ring.acquire()) is None:
        return False
    slot.pixels[:] = shade(frame_id)
    slot.publish(facts(frame_id))
    return True


def whole(frame: RingFrame, pixels: Rgb | None = None) -> bool:
    """Whether the pixels are those of the frame, all of them."""
    return bool((frame.rgb if pixels is None else pixels).__eq__(shade(frame.frame_id)).all())


@contextmanager
def process(role: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A function of this file in a process of its own, which is killed at the end if it still runs."""
    call = [sys.executable, "-B", __file__, role, *map(str, words)]
    child = subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        with child:
            yield child
            child.kill()
    finally:
        child.kill()


def heard(child: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert child.stdout
    return child.stdout.readline().strip()


def tell(child: subprocess.Popen[str], line: str = "") -> None:
    """Let it go on."""
    assert child.stdin
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def write(name: str, first: int = 0, count: int = 10**9, pause_s: float = 0.001) -> None:
    """Publish frames."""
    with RingWriter(name, size_px=SIZE) as ring:
        for frame_id in range(first, first + count):
            publish(ring, frame_id)
            if frame_id == first:
                print("begun", flush=True)
            time.sleep(pause_s)


def half_write(name: str) -> None:
    """Publish one frame, and wait in the middle of the second."""
    ring = RingWriter(name, size_px=SIZE)
    publish(ring, 0)
    slot = ring.acquire()
    assert slot
    slot.pixels[: SIZE[1] // 2] = 255
    print("half", flush=True)
    input()


def hold(name: str, count: int = 1) -> None:
    """Lease frames and keep them until told; then say whether they are still what they were."""
    frames = []
    with subscribe(name, every=True) as ring:
        for _ in range(count):
            frames.append(next(ring))
            print(frames[-1].frame_id, flush=True)
        input()
        print(all(map(whole, frames)), flush=True)


def hold_in_child(name: str) -> None:
    """Lease a frame, fork, and let the child forget the frame and end. Then say whether it is still leased."""
    with subscribe(name) as ring:
        frame = next(ring)
        if not (child := os.fork()):
            frame.release()
            ring.close()
            os._exit(0)
        os.waitpid(child, 0)
        print("forked", flush=True)
        input()
        print(whole(frame), flush=True)


def read(name: str, count: int, lease: int = 1, slow_s: float = 0.0) -> None:
    """Look at so many frames, some for longer; print how many were torn and out of order."""
    torn = backwards = 0
    last = -1
    with subscribe(name, lease=bool(lease), timeout_s=20) as ring:
        print("subscribed", flush=True)
        for _ in range(count):
            with next(ring) as frame:
                time.sleep(slow_s)
                torn += not whole(frame) or not whole(frame, frame.copy())
                backwards += frame.frame_id <= last
                last = frame.frame_id
    print(torn, backwards, flush=True)


def nobody_reads(name: str) -> None:
    """Look at one frame as user nobody, and print what comes of it."""
    _become_nobody()
    try:
        with subscribe(name) as ring, next(ring) as frame:
            print(whole(frame), flush=True)
    except EdgeFusionError as error:
        print(error.exit_code, error, flush=True)


def nobody_writes(name: str) -> None:
    """Make the ring as user nobody, and print what comes of it."""
    _become_nobody()
    try:
        RingWriter(name, size_px=SIZE).close()
        print("made", flush=True)
    except EdgeFusionError as error:
        print(error.exit_code, error, flush=True)


def _become_nobody() -> None:
    """For good; everything has been imported by now, for nobody may not look into this folder."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


_all = (write, half_write, hold, hold_in_child, read, nobody_reads, nobody_writes)
ROLES: dict[str, Callable[..., None]] = {function.__name__: function for function in _all}

if __name__ == "__main__":
    ROLES[sys.argv[1]](sys.argv[2], *(float(word) if "." in word else int(word) for word in sys.argv[3:]))
