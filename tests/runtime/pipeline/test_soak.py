"""A long run with everything going wrong now and then: memory and files stay flat, and every frame is accounted for.

EDGEFUSION_SOAK_FRAMES=1000000 pytest tests/runtime/pipeline/test_soak.py -m slow -s
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from live_rigs import Live, settings

from runtime.capture.faults import Fault

FRAMES = int(os.environ.get("EDGEFUSION_SOAK_FRAMES", "20000"))
FPS = 1000.0
SAMPLES = 40
FLAT_BYTES = 4_000_000
"""What allocators move about; a leak of 16 bytes a frame is as much in a quarter of a million frames."""

FAULTS = (
    Fault("drop", rate=0.01),
    Fault("delay", rate=0.002, by_s=0.01),
    Fault("damage", rate=0.002),
    Fault("corrupt", rate=0.0005),
    Fault("freeze", rate=0.0005, frames=5),
    Fault("stall", rate=0.0001, seconds=0.05),
    Fault("disconnect", rate=0.0003, seconds=0.05),
    Fault("clock_jump", rate=0.0001, by_s=0.5, seconds=0.05),
)


class Soak(Live):
    """Keeps figures instead of pictures."""

    def __init__(self, **options) -> None:
        super().__init__(until=lambda run: False, **options)
        self.figures: list[tuple[int, int]] = []
        self.disordered = self.last_ns = 0

    def _keep(self, moment, slot, statistics) -> None:
        self.disordered += moment.exposure_ns <= self.last_ns
        self.last_ns = moment.exposure_ns
        came = self.cameras["visible"].frames_in
        if came >= len(self.figures) * FRAMES // SAMPLES:
            self.figures.append((resident_bytes(), len(os.listdir("/proc/self/fd"))))
        if came >= FRAMES:
            self.stop.set()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.slow
def test_memory_and_files_stay_flat_and_every_frame_is_accounted_for(ring_name: str) -> None:
    given = settings(fps=FPS, lost_after_s=0.2, reconnect_s=0.1)
    run = Soak(
        faults={"visible": FAULTS, "thermal": FAULTS},
        given=given,
        seconds=60 + 5 * FRAMES / FPS,
        outputs=(f"ring:{ring_name}",),
    )
    statistics = run.go()
    memory, files = (np.array(column) for column in zip(*run.figures, strict=True))
    quarter = len(memory) // 4
    growth = np.median(memory[-quarter:]) - np.median(memory[quarter : 2 * quarter])
    status = run.rig.status()["cameras"]
    print(
        f"\n{run.cameras['visible'].frames_in} visible frames, {statistics.frames} published, {statistics.fps:.0f} per "
        f"second, flagged {dict(statistics.flagged)}, dropped {run.lane.dropped}, reconnects "
        f"{[camera['reconnects'] for camera in status.values()]}, memory {memory[quarter] / 1e6:.1f} MB "
        f"{growth / 1e6:+.2f} MB, files {files.min()} to {files.max()}"
    )
    assert run.cameras["visible"].frames_in >= FRAMES
    assert run.disordered == 0
    assert growth < FLAT_BYTES
    assert files[quarter:].max() <= files[quarter:].min() + 2
    run.accounted()
    used = status["visible"]["used"]
    assert used == statistics.frames - statistics.flagged["visible_lost"] + run.lane.statistics.drops["no free slot"]
