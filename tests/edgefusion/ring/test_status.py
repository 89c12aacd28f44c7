"""Looking at a ring from outside."""

from __future__ import annotations

import os
import threading

import pytest
from rings import SIZE, heard, process, publish

from edgefusion import RingLostError, list_rings, read_status, subscribe
from edgefusion.ring.writer import RingWriter


def test_what_a_ring_says_about_itself(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=5, mode=0o640) as ring, subscribe(name) as frames:
        assert read_status(name).status == {}
        ring.set_status({"fps": 30.0, "cameras": {"thermal": "lost"}})
        publish(ring, 0)
        publish(ring, 1)
        frame = next(frames)
        status = read_status(name)
        assert (status.name, status.pid, status.alive, status.size_px) == (name, os.getpid(), True, SIZE)
        assert (status.slots, status.published, status.starved, status.mode) == (5, 2, 0, 0o640)
        assert status.status == {"fps": 30.0, "cameras": {"thermal": "lost"}}
        assert status.readers == ring.readers()
        assert [(reader.pid, reader.leased, reader.received) for reader in ring.readers()] == [(os.getpid(), 1, 1)]
        frame.release()


def test_the_status_is_never_half_of_one_and_half_of_another(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring:
        done = threading.Event()

        def write() -> None:
            for turn in range(3000):
                ring.set_status({"all": [turn] * (turn % 900)})
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not done.is_set():
            assert len(set(read_status(name).status.get("all", []))) <= 1
        writer.join()
        assert read_status(name).status == {"all": [2999] * 299}


def test_the_ring_of_a_dead_writer_is_listed_as_dead(name: str) -> None:
    with process("half_write", name) as writer:
        assert heard(writer) == "half"
        assert read_status(name).alive
        writer.kill()
        writer.wait()
        status = read_status(name)
        assert (status.alive, status.pid, status.published) == (False, writer.pid, 1)
        assert name in list_rings()


def test_no_such_ring(name: str) -> None:
    with pytest.raises(RingLostError, match=f"there is no ring {name}"):
        read_status(name)
