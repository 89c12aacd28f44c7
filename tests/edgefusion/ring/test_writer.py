"""The writing side: slots, names, permissions, room."""

from __future__ import annotations

import grp
import mmap
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rings import SIZE, facts, heard, process, publish, whole

from edgefusion import list_rings, read_status, subscribe
from edgefusion.core.errors import InputError, MachineError, UsageError
from edgefusion.ring import futex, layout
from edgefusion.ring.writer import RingWriter


def test_a_slot_is_page_aligned_memory_of_the_ring() -> None:
    with RingWriter(None, size_px=(33, 7), slots=4) as ring:
        slots = [ring.acquire() for _ in range(3)]
        begin = ring.memory.ctypes.data
        for slot in slots:
            assert slot
            assert slot.pixels.shape == (7, 33, 3)
            assert slot.pixels.ctypes.data % mmap.PAGESIZE == 0
            assert begin <= slot.pixels.ctypes.data < begin + ring.memory.size
        assert len({slot.pixels.ctypes.data for slot in slots if slot}) == 3


def test_publishing_goes_round_oldest_first() -> None:
    with RingWriter(None, size_px=SIZE, slots=3) as ring:
        addresses = []
        for frame_id in range(6):
            slot = ring.acquire()
            assert slot
            addresses.append(slot.pixels.ctypes.data)
            slot.publish(facts(frame_id))
        assert len(set(addresses[:3])) == 3
        assert addresses[3:] == addresses[:3]
        assert ring.published == 6


def test_a_retained_slot_is_left_alone_and_starvation_is_counted() -> None:
    with RingWriter(None, size_px=SIZE, slots=3) as ring:
        held = []
        for frame_id in range(2):
            slot = ring.acquire()
            assert slot
            slot.retain()
            slot.publish(facts(frame_id))
            held.append(slot)
        third = ring.acquire()
        assert third
        third.publish(facts(2))
        assert ring.acquire() is None
        assert ring.starved == 1
        thread = threading.Thread(target=held[0].free)
        thread.start()
        thread.join()
        assert ring.acquire() is held[0]


def test_a_cancelled_slot_is_used_again_and_never_read(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring, subscribe(name, every=True) as frames:
        publish(ring, 0)
        slot = ring.acquire()
        assert slot
        slot.pixels[:] = 9
        slot.cancel()
        assert ring.acquire() is slot
        slot.pixels[:] = 1
        slot.publish(facts(1))
        assert [next(frames).frame_id for _ in range(2)] == [0, 1]


def test_the_newest_frame_stays_while_the_next_ones_are_written(name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        publish(ring, 0)
        publish(ring, 1)
        assert ring.acquire()
        assert ring.acquire()
        assert ring.acquire() is None
        with subscribe(name) as frames:
            assert whole(next(frames))


def test_a_name_that_is_taken_names_the_process(name: str) -> None:
    with RingWriter(name, size_px=SIZE):
        with pytest.raises(MachineError, match=rf"ring {name} is being written by process {os.getpid()}"):
            RingWriter(name, size_px=SIZE)
        assert name in list_rings()
    assert name not in list_rings()
    RingWriter(name, size_px=SIZE).close()


def test_the_ring_of_a_killed_writer_is_taken_over(name: str) -> None:
    with process("half_write", name) as writer:
        assert heard(writer) == "half"
        with pytest.raises(MachineError, match=f"process {writer.pid}"):
            RingWriter(name, size_px=SIZE)
        writer.kill()
        writer.wait()
    assert not read_status(name).alive
    with RingWriter(name, size_px=(64, 48)) as ring, subscribe(name) as frames:
        publish(ring, 7)
        assert next(frames).rgb.shape == (48, 64, 3)
    assert name not in list_rings()


def test_the_name_is_free_before_anybody_hears_of_the_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    monkeypatch.setattr(futex, "wake", lambda address: found.append(name in list_rings()))
    RingWriter(name, size_px=SIZE).close()
    assert found == [False]  # else who opens the ring again at once gets its last frames twice


def test_nobody_reads_a_ring_that_is_closed(name: str) -> None:
    ring = RingWriter(name, size_px=SIZE)
    with subscribe(name):
        assert len(ring.readers()) == 1
        ring.close()
        assert ring.readers() == ()


def test_a_writer_that_is_only_stopped_keeps_its_name(name: str) -> None:
    with process("half_write", name) as writer:
        assert heard(writer) == "half"
        writer.send_signal(signal.SIGSTOP)
        with pytest.raises(MachineError, match=f"process {writer.pid}"):
            RingWriter(name, size_px=SIZE)


def test_many_writers_for_one_name_and_one_gets_it(name: str) -> None:
    code = (
        "import sys; from edgefusion.ring.writer import RingWriter; from edgefusion import EdgeFusionError\n"
        "input()\n"
        f"try: ring = RingWriter({name!r}, size_px=(64, 48))\n"
        "except EdgeFusionError: print('taken', flush=True)\n"
        "else: print('mine', flush=True); input(); ring.close()"
    )
    call = [sys.executable, "-c", code]
    writers = [subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert sorted(heard(writer) for writer in writers) == ["mine", "taken", "taken", "taken"]
    for writer in writers:
        writer.communicate("\n")


@pytest.mark.parametrize(("mode", "table"), [(0o600, 0o600), (0o640, 0o660), (0o644, 0o666)])
def test_the_mode_holds_whatever_the_umask(name: str, mode: int, table: int) -> None:
    before = os.umask(0o077)
    try:
        with RingWriter(name, size_px=SIZE, mode=mode):
            assert [stat.S_IMODE(path.stat().st_mode) for path in layout.paths(name)] == [mode, table]
    finally:
        os.umask(before)


def test_the_group_may_be_given(name: str) -> None:
    group = grp.getgrgid(os.getgroups()[0] if os.getgroups() else os.getgid())
    with RingWriter(name, size_px=SIZE, group=group.gr_name):
        assert [path.stat().st_gid for path in layout.paths(name)] == [group.gr_gid] * 2
    with pytest.raises(MachineError, match="no group 'nobody-has-this'"):
        RingWriter(name, size_px=SIZE, group="nobody-has-this")
    assert name not in list_rings()


@pytest.mark.parametrize("wrong", ["", "a.b", "../etc", "-x", "a" * 65, "a b"])
def test_not_every_word_is_a_name(wrong: str) -> None:
    with pytest.raises(UsageError, match="cannot name a ring"):
        layout.paths(wrong)


@pytest.mark.parametrize(("size", "slots"), [((0, 4), 8), ((4, 4), 2), ((4, 4), 65)])
def test_impossible_rings_are_refused(size: tuple[int, int], slots: int) -> None:
    with pytest.raises(UsageError):
        RingWriter(None, size_px=size, slots=slots)


def test_a_status_that_is_too_long_is_refused(name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring:
        ring.set_status({"rig": "front"})
        with pytest.raises(InputError, match="more than a ring holds"):
            ring.set_status({"text": "x" * 40_000})
        assert read_status(name).status == {"rig": "front"}


def test_no_room_says_what_is_needed_and_what_is_free(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if not unshare or subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount a small tmpfs in a namespace of its own")
    code = (
        "from edgefusion import EdgeFusionError, list_rings; from edgefusion.ring.writer import RingWriter\n"
        "try: RingWriter('front', size_px=(640, 480))\n"
        "except EdgeFusionError as error: print(error.exit_code, error, list_rings())"
    )
    mounted = f'mount -t tmpfs -o size=2M tmpfs {tmp_path} && EDGEFUSION_SHM={tmp_path} exec {sys.executable} -c "$0"'
    done = subprocess.run([unshare, "-rm", "sh", "-c", mounted, code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"3 {tmp_path}: no room: a ring needs 7.4")
    assert "2.1 MB are free" in done.stdout
    assert done.stdout.rstrip().endswith("[]")
