"""Nothing is copied between a camera's buffer and the reader of the ring, beyond pack and unpack."""

from __future__ import annotations

import numpy as np
from lanes import Run, make_fusion, pairs
from live_rigs import Live

import edgefusion
from edgefusion.core.frames import FramePair
from runtime.pipeline.stream import PairStream
from runtime.sync.moments import Moment


class Poisoned(PairStream):
    """Changes what is in the cameras' buffers after the loop was given the frames: who copied them before is found out.

    And spoils them at release: who reads them afterwards is, too.
    """

    poison: FramePair

    def next(self, timeout_s: float = 0.0) -> Moment | None:
        moment = super().next(timeout_s)
        if moment is None or moment.pair is None:
            return moment
        for frame, other in ((moment.visible, self.poison.visible), (moment.thermal, self.poison.thermal)):
            frame.pixels[:] = other.pixels

        def spoil() -> None:
            for frame in (moment.visible, moment.thermal):
                frame.pixels[:] = 0

        return Moment(
            moment.visible, moment.thermal, moment.flags, moment.exposure_ns, name=moment.name, give_back=spoil
        )  # fmt: skip


def test_pack_and_unpack_read_the_cameras_own_buffers() -> None:
    (poison,) = pairs(1, seed=77)
    given = pairs(3)
    run = Run(given)
    moments = Poisoned(given, stop=run.stop)
    moments.poison = poison
    run = Run(moments)
    run.go()
    fusion = make_fusion()
    for image in run.images:
        np.testing.assert_array_equal(image, fusion.fuse(poison))
    assert not given[0].visible.pixels.any()


def test_a_reader_sees_the_memory_that_unpack_wrote(ring_name: str) -> None:
    seen: list[np.ndarray] = []

    def look(run: Run) -> None:
        if not hasattr(run, "reader"):
            run.reader = edgefusion.subscribe(ring_name, timeout_s=5)
        with next(run.reader) as frame:
            np.testing.assert_array_equal(frame.rgb, run.images[-1])
            run.last_slot.pixels[0, 0] = (1, 2, 3)  # the writer's own view: a reader with a copy would not see it
            seen.append(frame.rgb[0, 0].copy())

    run = Run(pairs(5), outputs=(f"ring:{ring_name}",), on_frame=look)
    run.go()
    run.reader.close()
    assert [tuple(pixel) for pixel in seen] == [(1, 2, 3)] * 5


def test_copies_are_counted_and_there_are_none(ring_name: str) -> None:
    run = Live(until=lambda run: len(run.flags) > 20, outputs=(f"ring:{ring_name}",))
    run.go()
    assert run.lane.snapshot().copies_per_frame == 0


def test_a_sink_that_wants_inputs_is_a_copy_and_is_counted(tmp_path) -> None:
    run = Run(pairs(10), outputs=(str(tmp_path / "drive.mcap"),))
    run.go()
    assert run.lane.snapshot().copies_per_frame == 2
