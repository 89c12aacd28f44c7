"""The C header, compiled and run against the Python writer."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from rings import SIZE, heard, process, publish, shade

from edgefusion import read_status
from edgefusion.ring.writer import RingWriter

ROOT = Path(__file__).parents[3]
HEADERS = ROOT / "edgefusion/ring"
STRICT = ["-Wall", "-Wextra", "-Werror", "-O2", "-I", str(HEADERS)]
GCC, GXX = shutil.which("gcc"), shutil.which("g++")

SOURCE = HEADERS / "edgefusion_ring.c"

HOLDER = r"""
#include <stdio.h>
#include "edgefusion_ring.h"
int main(int count, char **words) {
    edgefusion_ring ring;
    edgefusion_frame frame;
    (void)count;
    if (edgefusion_ring_open(&ring, words[1]) || edgefusion_ring_next(&ring, &frame, 5000) != 1) return 1;
    printf("%d\n", (int)frame.info->frame_id), fflush(stdout);
    if (getchar() == EOF) return 1;
    for (size_t i = 0; i < 3 * (size_t)frame.width * frame.height; i++)
        if (frame.rgb[i] != frame.info->frame_id % 251) return 1;
    edgefusion_ring_release(&ring, &frame);
    edgefusion_ring_close(&ring);
    return 0;
}
"""

DOCUMENTED = r"""
#define _DEFAULT_SOURCE
#include <stdint.h>
#include <stdio.h>
static void detect(const uint8_t *rgb, unsigned width, unsigned height, int64_t timestamp_ns) {
    printf("%%d %%ux%%u at %%lld\n", rgb[0], width, height, (long long)timestamp_ns), fflush(stdout);
}
%s
int main(int count, char **words) { return count == 2 ? -read_for_ever(words[1]) : 2; }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example reader, the holder, and the loop of docs/ring.md."""
    if not GCC:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("c")
    (folder / "holder.c").write_text(HOLDER)
    loop = (ROOT / "docs/ring.md").read_text().split("```c\n")[1].split("```")[0]
    (folder / "documented.c").write_text(DOCUMENTED % loop)
    for source in (ROOT / "examples/ring_reader.c", folder / "holder.c", folder / "documented.c"):
        subprocess.run([GCC, "-std=c11", *STRICT, source, SOURCE, "-o", folder / source.stem], check=True)
    return folder


def test_it_prints_what_the_writer_wrote(compiled: Path, name: str) -> None:
    with RingWriter(name, size_px=SIZE) as ring:
        publish(ring, 41)
        done = subprocess.run([compiled / "ring_reader", name, "1"], capture_output=True, text=True, check=True)
        assert done.stdout == f"41 160x120 at 1000000041 ns, flags 0, mean {shade(41)}.000 \n"
        assert not ring.readers()


def test_it_reads_on_while_frames_come_and_ends_with_the_writer(compiled: Path, name: str) -> None:
    with process("write", name) as writer:
        assert heard(writer) == "begun"
        with subprocess.Popen([compiled / "ring_reader", name], stdout=subprocess.PIPE, text=True) as reader:
            lines = [heard(reader).split() for _ in range(200)]
            assert [facts.alive for facts in read_status(name).readers or ()] == [True]
            assert [facts.pid for facts in read_status(name).readers or ()] == [reader.pid]
            writer.kill()
            reader.communicate(timeout=30)
            assert reader.returncode == 0
    frames = [int(words[0]) for words in lines]
    assert frames == sorted(set(frames))
    assert all(words[8] == f"{shade(int(words[0]))}.000" for words in lines)


def test_its_lease_holds_and_dies_with_it(compiled: Path, name: str) -> None:
    with RingWriter(name, size_px=SIZE, slots=3) as ring:
        publish(ring, 9)
        holder = subprocess.Popen([compiled / "holder", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        with holder:
            assert heard(holder) == "9"
            assert all(publish(ring, frame_id) for frame_id in range(10, 40))
            assert [(facts.alive, facts.leased) for facts in ring.readers()] == [(True, 1)]
            holder.communicate("\n")
        assert holder.returncode == 0
        publish(ring, 40)
        with subprocess.Popen([compiled / "holder", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == b"40\n"
            holder.kill()
        assert [facts.alive for facts in ring.readers()] == [False]
        assert publish(ring, 41)
        assert publish(ring, 42)


def test_it_says_why_it_cannot_read(compiled: Path, name: str) -> None:
    done = subprocess.run([compiled / "ring_reader", name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, f"ring {name}: No such file or directory\n")


def test_what_a_dead_writer_left_is_no_ring(compiled: Path, name: str) -> None:
    with process("write", name, 0, 1, 60.0) as writer:
        assert heard(writer) == "begun"
        writer.kill()
        writer.wait()
        for _ in range(2):
            done = subprocess.run([compiled / "ring_reader", name, "1"], capture_output=True, text=True)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"ring {name}: No such file or directory\n"
    with RingWriter(name, size_px=SIZE) as ring:
        publish(ring, 7)
        done = subprocess.run([compiled / "ring_reader", name, "1"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("7 160x120 ")


def test_the_documented_loop_waits_for_the_next_writer_without_spinning(compiled: Path, name: str) -> None:
    with subprocess.Popen([compiled / "documented", name], stdout=subprocess.PIPE, text=True) as reader:
        try:
            with process("write", name, 0, 1, 60.0) as writer:
                assert heard(reader) == "0 160x120 at 1000000000"
                writer.kill()
                writer.wait()
            before_s = cpu_s(reader.pid)
            time.sleep(1)
            assert cpu_s(reader.pid) - before_s < 0.2
            with RingWriter(name, size_px=SIZE) as ring:
                publish(ring, 5)
                assert heard(reader) == "5 160x120 at 1000000005"
        finally:
            reader.kill()


def cpu_s(pid: int) -> float:
    """What a process has used of the processor."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_it_is_a_c_plus_plus_header_too(tmp_path: Path) -> None:
    if not (GCC and GXX):
        pytest.skip("g++ is not installed")
    source = tmp_path / "holder.cc"
    source.write_text(HOLDER)
    subprocess.run([GCC, "-std=c11", *STRICT, "-c", SOURCE, "-o", tmp_path / "ring.o"], check=True)
    subprocess.run([GXX, "-std=c++17", *STRICT, source, tmp_path / "ring.o", "-o", tmp_path / "holder"], check=True)
