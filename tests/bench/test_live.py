"""The live loop against what it cannot be faster than: the stages alone, and a bare loop that only executes.

Figures within one run; `make bench` prints them. On a machine that does other work they say little.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.frames import PixelFormat
from runtime.capture.simulated import SimulatedRig
from runtime.fusion import Fusion, open_fusion
from runtime.latency import LatencyHistogram

pytestmark = [pytest.mark.slow, pytest.mark.speed]

SIZE, THERMAL_SIZE, PERIOD = (640, 480), (320, 256), 30
PAIRS = 10
CHECKER = Path(__file__).parents[1] / "support" / "ring_checker.py"


def rig_toml(folder: Path, name: str, *, options: str = "") -> Path:
    registration = SimulatedRig(visible_size_px=SIZE, thermal_size_px=THERMAL_SIZE).registration.tolist()
    camera = f'device = "simulated:visible=640x480,prerender={PERIOD}{options}"\nfps = 30\nbuffers = 8\n'
    path = folder / f"{name}.toml"
    path.write_text(
        f'name = "{name}"\nregistration = {registration}\n'
        f'[visible]\nsize_px = [640, 480]\nformat = "NV12"\n{camera}'
        f'[thermal]\nsize_px = [320, 256]\nformat = "Y16"\nbits = 14\n{camera}'
        f'[[output]]\nto = "ring:{name}"\n'
    )
    return path


def run_live(path: Path, frames: int, *more: str) -> dict:
    words = ["run", "--rig", str(path), "--frames", str(frames), "--precision", "int8", "--json", *more]
    done = subprocess.run(
        [sys.executable, "-m", "edgefusion.cli", *words], capture_output=True, text=True, timeout=300, check=True
    )
    return json.loads(done.stdout)


@pytest.fixture
def ring(tmp_path: Path):
    name = f"bench-{os.getpid()}"
    yield name
    for left in Path("/dev/shm").glob(f"*{name}*"):  # noqa: S108
        left.unlink()


def test_every_stage_with_a_reader_that_checks_every_frame(ring: str, tmp_path: Path) -> None:
    path = rig_toml(tmp_path, ring, options=",pace=0")
    checker = subprocess.Popen(
        [sys.executable, str(CHECKER), ring, str(PERIOD)], stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    record = run_live(path, 3000)
    found = json.loads(checker.communicate(timeout=120)[0])
    stages = sum(record["latency"]["stages"][stage]["percentiles_ms"]["p50"] for stage in ("pack", "execute", "unpack"))
    overhead = 1e3 / record["fps"] - stages
    print(f"\n{record['fps']:.0f} frames per second, stages {stages:.2f} ms, {overhead:.2f} ms beside them; {found}")
    assert record["counts"]["copies_per_frame"] == 0
    assert found["received"] + found["missed"] >= 0.95 * 3000
    assert {found[wrong] for wrong in ("disordered", "overwritten", "wrong")} == {0}
    assert overhead <= 1.0
    assert record["fps"] >= 150


def test_recording_costs_less_than_a_hundredth_of_the_frame_rate(ring: str, tmp_path: Path) -> None:
    path = rig_toml(tmp_path, ring, options=",pace=0")
    kinds = {"with": ("--record", str(tmp_path / "run.json")), "without": ()}
    pairs = []
    for number in range(PAIRS):
        fps = {kind: run_live(path, 2500, *kinds[kind])["fps"] for kind in sorted(kinds, reverse=bool(number % 2))}
        pairs.append(fps["with"] / fps["without"])
    draws = np.random.default_rng(0).choice(pairs, (1000, PAIRS))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    print(f"\nrecorded and not, in turns: {np.median(pairs) - 1:+.2%} fps (95 %: {low - 1:+.2%} to {high - 1:+.2%})")
    assert np.median(pairs) > 0.99


@dataclass
class Paced:
    """A loop at 30 fps: its latencies, and the processors it used."""

    histogram: LatencyHistogram
    cores: float

    @property
    def spread(self) -> float:
        return self.histogram.percentile_ms(99) / self.histogram.percentile_ms(50)


def fusion_of_noise() -> Fusion:
    fusion = open_fusion(load_bundle(), find_device("cpu"), precision="int8", bits=14)
    fusion.warm_up((PixelFormat.NV12, SIZE), (PixelFormat.Y16, THERMAL_SIZE))
    return fusion


def bare_loop(fusion: Fusion, seconds: float) -> Paced:
    """Executes at 30 fps and does nothing else."""
    histogram, period = LatencyHistogram(), 1 / 30
    begin, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    for index in range(int(seconds / period)):
        due = begin + index * period
        time.sleep(max(0.0, due - time.monotonic()))
        fusion.execute()
        histogram.add(round((time.monotonic() - due) * 1e9))
    now = resource.getrusage(resource.RUSAGE_SELF)
    busy = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return Paced(histogram, busy / (time.monotonic() - begin))


def test_paced_latency_and_processor_time_against_a_bare_loop(ring: str, tmp_path: Path) -> None:
    seconds = 40.0  # a thousand frames at least, or there is no p99
    bare = bare_loop(fusion_of_noise(), seconds)
    record, cores = run_paced(rig_toml(tmp_path, ring), seconds)
    latency = record["latency"]["published"]["percentiles_ms"]
    spread = latency["p99"] / latency["p50"]
    print(
        f"\nbare: p50 {bare.histogram.percentile_ms(50):.2f} ms, p99/p50 {bare.spread:.2f}, {bare.cores:.2f} cores; "
        f"live: p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, p99/p50 {spread:.2f}, {cores:.2f} cores"
    )
    assert spread <= 1.3 * bare.spread
    assert latency["p99"] < 1e3 / 30
    assert cores <= bare.cores + 0.5


def run_paced(path: Path, seconds: float) -> tuple[dict, float]:
    """A live run in a process of its own, with the processors it used once it ran."""
    words = ["run", "--rig", str(path), "--frames", str(int(30 * (seconds + 2))), "--precision", "int8", "--json"]
    process = subprocess.Popen([sys.executable, "-m", "edgefusion.cli", *words], stdout=subprocess.PIPE, text=True)
    used: list[tuple[float, float]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            used.append((time.monotonic(), processor_seconds(process.pid)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        out, _ = process.communicate(timeout=seconds * 4 + 60)
    finally:
        over.set()
        thread.join()
    assert process.returncode == 0
    times, busy = np.array([each for each in used if each[1]]).T
    steady = times > times[-1] - 0.8 * seconds
    return json.loads(out), float(np.polyfit(times[steady], busy[steady], 1)[0])


def processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
