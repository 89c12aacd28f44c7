"""The reading side, in the writer's own process: what comes, what does not, and for how long it stays."""

from __future__ import annotations

import gc
import os
import threading
from dataclasses import fields

import numpy as np
import pytest
from rings import SIZE, facts, heard, process, publish, shade, tell, whole

from edgefusion import RingLostError, RingTimeoutError, read_status, subscribe
from edgefusion.core.errors import InputError, MachineError, RunError, UsageError
from edgefusion.core.frames import Flag, FusedInfo
from edgefusion.ring import layout
from edgefusion.ring.writer import RingWriter

UNPRIVILEGED = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def test_what_travels_with_a_frame_arrives(name: str) -> None:
    info = FusedInfo(5, 123, "realtime", 7, -1, -(2**40), Flag.STALE | Flag.THERMAL_LOST, "nächster")
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        slot = ring.acquire()
        assert slot
        slot.pixels[:] = 3
        published_ns = slot.publish(info)
        frame = next(frames)
        assert frame.info == info
        assert all(getattr(frame, field.name) == getattr(info, field.name) for field in fields(info))
        assert frame.degraded
        assert frame.published_ns == published_ns
        assert (frame.rgb == 3).all()
        assert "RingFrame 5: 160x120" in repr(frame)


def test_a_long_name_is_cut_between_letters(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        slot = ring.acquire()
        assert slot
        slot.publish(FusedInfo(0, 0, "receive", 0, 0, name="x" + "ü" * 100))
        assert next(frames).name == "x" + "ü" * 63


def test_pixels_are_the_writers_own_memory_and_read_only(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        slot = ring.acquire()
        assert slot
        slot.publish(facts(0))
        frame = next(frames)
        slot.pixels[:] = 77  # against the rules: shows that nothing was copied
        assert (frame.rgb == 77).all()
        with pytest.raises(ValueError, match="read-only"):
            frame.rgb[:] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            frame.rgb.flags.writeable = True


def test_the_newest_frame_comes_and_what_was_missed_is_counted(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name, timeout_s=0) as frames:
        for frame_id in (0, 1, 2):
            publish(ring, frame_id)
        assert next(frames).frame_id == 2
        for frame_id in (3, 4):
            publish(ring, frame_id)
        assert next(frames).frame_id == 4
        assert (frames.received, frames.missed) == (2, 1)
        with pytest.raises(RingTimeoutError):
            next(frames)


def test_every_frame_comes_in_order_while_it_is_there(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=4) as ring, subscribe(name, every=True) as frames:
        publish(ring, 0)
        assert next(frames).frame_id == 0
        for frame_id in range(1, 8):
            publish(ring, frame_id)
        assert [next(frames).frame_id for _ in range(4)] == [4, 5, 6, 7]
        assert (frames.received, frames.missed) == (5, 3)


@pytest.mark.parametrize("keep", [lambda frame: frame, lambda frame: frame.rgb, lambda frame: frame.rgb[5:, ::2, 1]])
def test_the_lease_lasts_as_long_as_any_view(name: str, keep: object) -> None:
    assert callable(keep)
    with RingWriter(name, size_px=SIZE, slots=3) as ring, subscribe(name) as frames:
        publish(ring, 0)
        kept = keep(next(frames))
        for frame_id in range(1, 9):
            publish(ring, frame_id)
        pixels = kept.rgb if hasattr(kept, "rgb") else kept
        assert (pixels == shade(0)).all()
        assert [reader.leased for reader in ring.readers()] == [1]
        del kept, pixels
        gc.collect()
        assert [reader.leased for reader in ring.readers()] == [0]


def test_a_released_frame_gives_its_slot_back_at_once(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring, subscribe(name) as frames:
        publish(ring, 0)
        with next(frames) as frame:
            assert [reader.leased for reader in ring.readers()] == [1]
        frame.release()
        assert [reader.leased for reader in ring.readers()] == [0]
        for use in (lambda: frame.rgb, frame.copy, frame.cuda):
            with pytest.raises(RunError, match="frame 0 was released"):
                use()


def test_readers_that_hold_everything_starve_only_the_writer_of_new_slots(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=4) as ring, subscribe(name, every=True) as frames:
        held = []
        for frame_id in range(4):
            publish(ring, frame_id)
            held.append(next(frames))
        assert not publish(ring, 4)
        assert all(map(whole, held))
        assert (ring.starved, read_status(name).starved) == (1, 1)
        held.pop(1)
        assert publish(ring, 5)


def test_a_copy_is_the_readers_own(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        publish(ring, 0)
        with next(frames) as frame:
            copy = frame.copy()
        copy[0] = 1
        assert (copy[1:] == shade(0)).all()


def test_without_leases_a_frame_is_a_copy_and_the_reader_takes_no_seat(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring, subscribe(name, lease=False) as frames:
        publish(ring, 0)
        frame = next(frames)
        assert not ring.readers()
        for frame_id in range(1, 9):
            publish(ring, frame_id)
        assert whole(frame)
        assert not frame.leased
        with pytest.raises(RunError, match="lease=True"):
            frame.cuda()


def test_views_outlive_their_subscription_and_the_writer(name: str) -> None:
    ring = RingWriter(name, size_px=SIZE, slots=3)
    with subscribe(name) as frames:
        publish(ring, 0)
        pixels = next(frames).rgb
    for frame_id in range(1, 9):
        publish(ring, frame_id)
    assert [reader.leased for reader in ring.readers()] == [1]
    ring.close()
    del ring
    assert (pixels == shade(0)).all()


def test_a_seat_is_free_again_after_its_last_view(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        publish(ring, 0)
        with subscribe(name) as frames:
            frame = next(frames)
        assert len(ring.readers()) == 1
        frame.release()
        assert not ring.readers()


def test_there_is_an_end_to_the_seats(name: str) -> None:
    with RingWriter(name, size_px=SIZE):
        readers = [subscribe(name) for _ in range(layout.SEATS)]
        with pytest.raises(MachineError, match="has 32 readers already"):
            subscribe(name)
        subscribe(name, lease=False).close()
        readers.pop().close()
        subscribe(name).close()
        for reader in readers:
            reader.close()


def test_nothing_stays_open_behind_a_subscription(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring:
        publish(ring, 0)
        gc.collect()
        before = len(os.listdir("/proc/self/fd"))
        for lease in (True, False) * 3:
            with subscribe(name, lease=lease) as frames:
                next(frames)
            subscribe(name, lease=lease)  # and forgotten
        gc.collect()
        assert not ring.readers()
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.1.0", reason="NumPy cannot say read-only before 2.1")
def test_dlpack_gives_the_memory_itself_to_who_knows_that_it_is_read_only(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        publish(ring, 3)
        frame = next(frames)
        assert frame.__dlpack_device__() == (1, 0)
        array = np.from_dlpack(frame)
        assert array.ctypes.data == frame.rgb.ctypes.data
        assert not array.flags.writeable
        address = array.ctypes.data
        del frame
        gc.collect()
        assert [reader.leased for reader in ring.readers()] == [1], "the capsule's consumer holds the lease"
        assert array.ctypes.data == address


class Old:
    """A consumer from before DLPack 1.0, as far as the frame sees."""

    def __init__(self, frame: object) -> None:
        self.frame = frame

    def __dlpack__(self, **_: object) -> object:
        return self.frame.__dlpack__()  # type: ignore[attr-defined]

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def test_dlpack_gives_a_copy_to_who_would_write(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        publish(ring, 3)
        frame = next(frames)
        array = np.from_dlpack(Old(frame))
        assert (array == shade(3)).all()
        assert array.ctypes.data != frame.rgb.ctypes.data
        with pytest.raises(BufferError, match="read-only"):
            frame.__dlpack__(copy=False)
        with pytest.raises(BufferError, match="ordinary memory"):
            frame.__dlpack__(dl_device=(2, 0))


@pytest.mark.slow
def test_torch_takes_a_frame(name: str) -> None:
    torch = pytest.importorskip("torch")
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name) as frames:
        publish(ring, 3)
        assert (torch.from_dlpack(next(frames)) == shade(3)).all()


def test_a_reader_that_waits_is_woken(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name, timeout_s=None) as frames:
        thread = threading.Timer(0.05, publish, (ring, 4))
        thread.start()
        assert next(frames).frame_id == 4
        thread.join()


def test_no_frame_in_time(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring, subscribe(name, timeout_s=0.05) as frames:
        with pytest.raises(RingTimeoutError, match=r"brought no frame in 0.05 s"):
            next(frames)
        publish(ring, 0)
        assert next(frames).frame_id == 0


def test_an_ended_ring_ends_the_loop_after_its_last_frame(name: str) -> None:
    ring = RingWriter(name, size_px=SIZE)
    with subscribe(name, reconnect=False, every=True) as frames:
        for frame_id in range(3):
            publish(ring, frame_id)
        ring.close()
        assert [frame.frame_id for frame in frames] == [0, 1, 2]
        assert next(frames, None) is None


def test_the_next_writer_is_waited_for(name: str) -> None:
    ring = RingWriter(name, size_px=SIZE)
    with subscribe(name) as frames:
        publish(ring, 8)
        old = next(frames)
        ring.close()
        with RingWriter(name, size_px=(8, 4)) as ring:
            publish(ring, 0)
            assert next(frames).rgb.shape == (4, 8, 3)
            assert whole(old)
            del old


def test_no_next_writer_in_time(name: str) -> None:
    ring = RingWriter(name, size_px=SIZE)
    with subscribe(name, timeout_s=0.05) as frames:
        ring.close()
        with pytest.raises(RingTimeoutError, match=r"ended it, and no writer came in 0.05 s"):
            next(frames)


def test_no_such_ring(name: str) -> None:
    with pytest.raises(RingLostError, match=f"there is no ring {name}"):
        subscribe(name, reconnect=False)
    with pytest.raises(RingTimeoutError, match=f"there is no ring {name}, and no writer came in 0 s"):
        subscribe(name, timeout_s=0)
    with pytest.raises(UsageError):
        subscribe("a/b")


def test_a_dead_writer_is_noticed(name: str) -> None:
    with process("half_write", name) as writer:
        assert heard(writer) == "half"
        with subscribe(name, reconnect=False) as frames:
            assert next(frames).frame_id == 0
            writer.kill()
            writer.wait()
            with pytest.raises(RingLostError, match=f"the writer of ring {name} died"):
                next(frames)
    with pytest.raises(RingLostError, match="died"):
        subscribe(name, reconnect=False)


def test_a_ring_of_another_version_or_none_at_all(name: str) -> None:
    path = layout.paths(name)[0]
    path.write_bytes(layout.MAGIC + (99).to_bytes(4, "little") + bytes(1000))
    with pytest.raises(InputError, match="a ring of schema 99; use the same version"):
        subscribe(name)
    path.write_bytes(b"something else")
    with pytest.raises(InputError, match="not a ring"):
        subscribe(name)
    with RingWriter(name, size_px=SIZE):
        pass
    assert not path.exists(), "nobody wrote what was there: it was replaced"


def test_a_ring_that_was_cut_short(name: str) -> None:
    with RingWriter(name, size_px=SIZE):
        path = layout.paths(name)[0]
        size = path.stat().st_size
        os.truncate(path, size - 4096)
        with pytest.raises(InputError, match=f"a ring of {size} bytes, but the file has {size - 4096}"):
            subscribe(name)


@UNPRIVILEGED
def test_who_may_not_read_learns_whose_ring_it_is(name: str) -> None:
    with RingWriter(name, size_px=SIZE), process("nobody_reads", name) as reader:
        said = heard(reader)
    assert said.startswith(f"3 {layout.paths(name)[0]}: ring {name} of root, group root, mode 0600, may not be read")
    assert 'mode = "0640"' in said


@UNPRIVILEGED
def test_who_may_read_may_lease_but_not_replace(name: str) -> None:
    with RingWriter(name, size_px=SIZE, mode=0o644) as ring:
        publish(ring, 0)
        with process("nobody_reads", name) as reader:
            assert heard(reader) == "True"
    with process("half_write", name) as writer:
        assert heard(writer) == "half"
        writer.kill()
        writer.wait()
    with process("nobody_writes", name) as writer:
        assert "cannot be replaced" in heard(writer)


def test_a_lease_survives_a_fork(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        publish(ring, 0)
        with process("hold_in_child", name) as reader:
            assert heard(reader) == "forked"
            for frame_id in range(1, 9):
                publish(ring, frame_id)
            tell(reader)
            assert heard(reader) == "True"
