"""Readers and writers that are killed, stopped or slow, each in a process of its own."""

from __future__ import annotations

import signal
import time
from contextlib import closing

import pytest
from rings import SIZE, heard, process, publish, tell, whole

from edgefusion import read_status, subscribe
from edgefusion.ring import layout, owners
from edgefusion.ring.atomics import atomics
from edgefusion.ring.attachment import Attachment
from edgefusion.ring.writer import RingWriter


def test_a_slow_reader_keeps_its_frame_and_the_writer_its_pace(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=4) as ring:
        publish(ring, 0)
        with process("hold", name) as reader:
            assert heard(reader) == "0"
            reader.send_signal(signal.SIGSTOP)
            for frame_id in range(1, 200):
                assert publish(ring, frame_id)
            reader.send_signal(signal.SIGCONT)
            tell(reader)
            assert heard(reader) == "True"


def test_leases_of_a_killed_reader_are_reaped_when_slots_run_out(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=4) as ring:
        for frame_id in range(3):
            publish(ring, frame_id)
        with process("hold", name, 3) as reader:
            assert [heard(reader) for _ in range(3)] == ["0", "1", "2"]
            assert publish(ring, 3)
            assert not publish(ring, 4), "the reader lives, and holds all but the newest"
            reader.kill()
            reader.wait()
            assert publish(ring, 5)
        assert not ring.readers()
        assert ring.starved == 1


def test_a_stopped_reader_is_not_taken_for_dead(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        for frame_id in range(2):
            publish(ring, frame_id)
        with process("hold", name, 2) as reader:
            assert [heard(reader) for _ in range(2)] == ["0", "1"]
            publish(ring, 2)
            reader.send_signal(signal.SIGSTOP)
            assert not any(publish(ring, frame_id) for frame_id in range(3, 20))
            reader.send_signal(signal.SIGCONT)
            tell(reader)
            assert heard(reader) == "True"


def test_a_lease_of_the_last_moment_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader comes between the writer's choice of a slot and its mark on it."""
    with RingWriter(name, size_px=SIZE, slots=3) as ring, subscribe(name) as frames:
        publish(ring, 0)
        publish(ring, 1)
        kept = next(frames)
        publish(ring, 2)
        table = ring._table
        answers = iter([0])
        leased = table.leased
        monkeypatch.setattr(table, "leased", lambda: next(answers, leased()))
        for frame_id in range(3, 9):
            answers = iter([0])
            publish(ring, frame_id)
        assert whole(kept)
        assert [facts.leased for facts in ring.readers()] == [1]
        kept.release()


@pytest.mark.parametrize("lease", [True, False])
def test_a_frame_that_the_writer_overtook_is_not_given(name: str, lease: bool) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring, closing(Attachment(name, lease=lease)) as reader:
        publish(ring, 0)
        number, slot = reader.newest()
        assert reader.take(number, slot)
        for frame_id in range(1, 4):
            publish(ring, frame_id)
        assert reader.newest()[0] == 4
        assert reader.take(number, slot) is None
        assert not any(facts.leased for facts in ring.readers())


def test_a_process_number_that_was_given_out_again_is_another_process(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        publish(ring, 0)
        frames = subscribe(name)
        frame = next(frames)
        seat = ring._readers.address + layout.SEATS_OFFSET  # as if this process had the number of one that died
        atomics().store(seat + layout.OWNER, owners.token() - (1 << 22))
        assert [reader.alive for reader in ring.readers()] == [False]
        frame.release()
        frames.close()


def test_owners_elsewhere_are_judged_by_their_lock_alone(name: str) -> None:
    """In another container the number means another process here, or none."""
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        publish(ring, 0)
        with process("hold", name) as reader:
            assert heard(reader) == "0"
            seat = ring._readers.address + layout.SEATS_OFFSET
            atomics().store(seat + layout.NAMESPACE, 1)
            atomics().store(seat + layout.OWNER, 4_000_000)
            assert [facts.alive for facts in ring.readers()] == [True]
            reader.kill()
            reader.wait()
            assert [facts.alive for facts in ring.readers()] == [False]


def test_a_writer_killed_in_mid_write_leaves_no_torn_frame(name: str) -> None:
    with process("half_write", name) as writer:
        assert heard(writer) == "half"
        with subscribe(name, every=True, timeout_s=20) as frames, subscribe(name, lease=False) as copies:
            kept = next(frames)
            writer.kill()
            writer.wait()
            assert whole(kept)
            assert next(copies).frame_id == 0
            with RingWriter(name, size_px=SIZE) as ring:
                publish(ring, 100)
                assert next(frames).frame_id == 100
            assert whole(kept)


@pytest.mark.parametrize("lease", [1, 0])
def test_frames_are_whole_while_the_writer_is_killed_again_and_again(name: str, lease: int) -> None:
    with process("read", name, 600, lease) as reader:
        for turn in range(3):
            with process("write", name, 10_000 * turn, 10**9, 0.0001) as writer:
                assert heard(writer) == "begun"
                if not turn:
                    assert heard(reader) == "subscribed"
                published = read_status(name).published
                while read_status(name).published < published + 100 * turn:
                    time.sleep(0.01)
                if turn == 2:
                    assert heard(reader) == "0 0"
                writer.kill()
                writer.wait()


def test_a_reader_killed_while_it_waits_disturbs_nobody(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, process("read", name, 10**6) as reader:
        assert heard(reader) == "subscribed"
        publish(ring, 0)
        reader.kill()
        reader.wait()
        assert all(publish(ring, frame_id) for frame_id in range(1, 50))
        with subscribe(name) as frames:
            assert whole(next(frames))
