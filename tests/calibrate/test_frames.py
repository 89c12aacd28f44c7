"""Which frames are chosen, which are left out, and what is stored of them."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from drives import blocks, counts, day, named, night, pair_of
from scenes import rig_toml

from calibrate.frames.job import FramesSettings, Result, calibrate_frames
from calibrate.frames.packed import Packing
from calibrate.frames.survey import Surveyor
from edgefusion.core.bundle import load_bundle
from edgefusion.core.calibration import load_calibration
from edgefusion.core.devices import find_device
from edgefusion.core.errors import InputError, RecordingError, RunError
from edgefusion.core.frames import FramePair
from edgefusion.core.rig import Rig, load_rig
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker
from edgefusion.recordings.options import NamedRecording
from edgefusion.recordings.recording import Recording
from runtime.fusion import open_fusion


def choose(
    out: Path, *recordings: NamedRecording, count: int = 8, holdout: int = 4, seed: int = 0, bundle: Path | None = None
) -> Result:
    settings = FramesSettings(out, count=count, holdout_count=holdout, seed=seed, bundle_path=bundle)
    return calibrate_frames(recordings, settings)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_few_night_frames_among_many_get_their_share(tmp_path: Path) -> None:
    drive = named(lambda index: night(index) if index in range(30, 36) else day(index), 150)
    chosen = choose(tmp_path / "set", drive, count=20).made.list.frames
    assert {frame.sequence for frame in chosen if frame.light == "night"} == set(range(30, 36))
    assert sum(frame.light == "day" for frame in chosen) == 14
    balanced = choose(tmp_path / "small", drive, count=10).made.list.frames
    assert [frame.light for frame in balanced].count("night") == 5


def test_unlike_frames_come_first(tmp_path: Path) -> None:
    """Three scenes among many variations of another are chosen before a third variation is."""
    base = day(0)

    def look(index: int) -> FramePair:
        if index in (20, 40, 60):
            return day(index)
        shifted = base.visible.pixels.astype(int) + blocks(index, 6).astype(int)
        return pair_of(shifted.clip(0, 255).astype(np.uint8), base.thermal.pixels + np.uint8(index % 2), index)

    chosen = choose(tmp_path / "set", named(look, 100), count=5).made.list.frames
    assert {20, 40, 60} < {frame.sequence for frame in chosen}


def test_near_duplicates_are_left_out(tmp_path: Path) -> None:
    def look(index: int) -> FramePair:
        """Ten scenes in turn; sensor noise is all that tells one visit from the next."""
        seen = day(index % 10)
        noise = np.random.default_rng(index).integers(0, 2, (48, 64), np.uint8)
        return pair_of(np.maximum(seen.visible.pixels, 1) - noise, np.maximum(seen.thermal.pixels, 1) - noise, index)

    drive = named(look, 100)
    made = choose(tmp_path / "set", drive, count=10).made.list
    assert {frame.sequence % 10 for frame in made.frames} == set(range(10))
    assert made.seen["near-duplicates"] == 70
    with pytest.raises(InputError, match=r"only 10 of 100 frames can be used, not 11 .*70 near-duplicates.*--count 10"):
        choose(tmp_path / "more", drive, count=11)
    assert not (tmp_path / "more").exists()


def test_frames_of_a_closed_shutter_are_left_out(tmp_path: Path) -> None:
    """During a flat-field correction thermal stands still for half a second while visible goes on."""

    def look(index: int) -> FramePair:
        frozen = 30 if 30 <= index < 46 else index
        return pair_of(day(index).visible.pixels, counts(frozen).thermal.pixels, index)

    made = choose(tmp_path / "set", named(look, 100), count=65).made.list
    assert made.seen["stale thermal"] == 15
    assert {frame.sequence for frame in made.frames} == {*range(80)} - {*range(31, 46)}


@pytest.mark.parametrize(
    ("reason", "visible", "thermal"),
    [
        ("stale visible", lambda index: blocks(1, 256), lambda index: blocks(index, 256)),
        ("constant visible", lambda index: np.full((48, 64), 9, np.uint8), lambda index: blocks(index, 256)),
        ("constant thermal", lambda index: blocks(index, 256), lambda index: np.full((48, 64), 9, np.uint8)),
    ],
)
def test_broken_cameras_are_named(tmp_path: Path, reason: str, visible, thermal) -> None:
    def look(index: int) -> FramePair:
        return pair_of(visible(index), thermal(index), index) if 20 <= index < 30 else day(index)

    made = choose(tmp_path / "set", named(look, 60)).made.list
    assert made.seen[reason] == (9 if reason.startswith("stale") else 10)
    assert sum(made.seen.values()) == 2 * made.seen["frames"] == 120


def test_the_holdout_is_of_another_time(tmp_path: Path) -> None:
    made = choose(tmp_path / "set", named(day, 100), named(night, 50, name="night"), count=40, holdout=10).made.list
    for number, length in ((0, 100), (1, 50)):
        mine = [frame.sequence for frame in made.frames if frame.recording == number]
        held = [frame.sequence for frame in made.holdout if frame.recording == number]
        assert max(mine) < 0.8 * length <= min(held)
        assert held == sorted(held)
        assert set(np.diff(held)) <= {2, 3, 4}
    assert made.sources == ("drive", "night")


def test_of_still_images_the_holdout_is_drawn(tmp_path: Path) -> None:
    stills = named(day, 40, fps=None)
    made = [choose(tmp_path / str(seed), stills, count=32, holdout=8, seed=seed).made.list for seed in (0, 1)]
    held = [{frame.sequence for frame in one.holdout} for one in made]
    assert held[0] != held[1]
    assert all(not {frame.sequence for frame in one.frames} & kept for one, kept in zip(made, held, strict=True))
    assert not any("motion" in sentence for sentence in made[0].lacks)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    drive = named(counts, 100)
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        choose(tmp_path / name, drive, seed=seed)
    assert files(tmp_path / "first") == files(tmp_path / "second")
    assert files(tmp_path / "first") != files(tmp_path / "other")


def test_fewer_frames_are_the_first_of_more(tmp_path: Path) -> None:
    few, many = (choose(tmp_path / str(count), named(day, 60), count=count).made.list.frames for count in (4, 12))
    assert many[:4] == few


def test_a_drive_of_hours_fits_in_memory(tmp_path: Path) -> None:
    """Four times the frames take no more memory, and candidates still come from all of the drive."""
    peaks = []
    for length in (500, 2000):
        drive = named(lambda index: pair_of(blocks(index, 256), blocks(index + 1, 256), index), length)
        tracemalloc.start()
        found = Surveyor(Packing(), limit=100).survey([drive])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert 50 <= len(found.training) + len(found.holdout) <= 100
        assert found.seen["thinned out"] == length - len(found.training) - len(found.holdout)
        steps = np.diff([one.sequence for one in (*found.training, *found.holdout)])
        assert len(set(steps)) == 1
    assert peaks[1] < 1.3 * peaks[0]


def test_tensors_are_those_that_the_vehicle_computes_on(tmp_path: Path) -> None:
    """The gain control follows the stream: frame 70 depends on the frames before it, chosen or not."""
    made = choose(tmp_path / "set", named(counts, 100)).made
    fusion = open_fusion(load_bundle(), find_device("cpu"), precision="fp32")
    expected = {}
    for index in range(100):
        pair = counts(index)
        fusion.prepare(pair.visible, pair.thermal)
        fusion.pack(pair)
        expected[index] = fusion.engine.x.copy()
    frames = (*made.list.frames, *made.list.holdout)
    for frame, x in zip(frames, made.tensors(frames), strict=True):
        assert np.array_equal(x, expected[frame.sequence].astype(np.float16))
    alone = InputPacker(AgcSpec()).input(counts(70)).astype(np.float16)
    assert not np.array_equal(alone, expected[70].astype(np.float16))
    low, high = zip(*(frame.agc_range for frame in sorted(frames, key=lambda frame: frame.sequence)), strict=True)
    assert low[0] < low[-1]
    assert high[0] < high[-1]


def test_still_images_have_no_past(tmp_path: Path) -> None:
    made = choose(tmp_path / "set", named(counts, 40, fps=None)).made
    for frame, x in zip(made.list.frames, made.tensors(), strict=True):
        alone = InputPacker(AgcSpec()).input(counts(frame.sequence))
        assert np.array_equal(x, alone.astype(np.float16))


def test_the_set_says_where_each_frame_is_from_and_why(tmp_path: Path) -> None:
    choose(tmp_path / "set", named(day, 60))
    read = load_calibration(tmp_path / "set").list
    assert read.frames[0].reason == "the first, drawn by seed 0"
    assert all("differs from all before it, most in" in frame.reason for frame in read.frames[1:])
    assert all(frame.timestamp_ns == day(frame.sequence).visible.timestamp_ns for frame in read.frames)
    assert (read.size_px, read.settings["seed"], read.settings["count"]) == ((64, 48), 0, 8)


def test_what_the_recordings_lack(tmp_path: Path) -> None:
    bright = choose(tmp_path / "day", named(day, 60)).made.list.lacks
    assert "no night frames: INT8 ranges will not hold at night" in bright
    dark = choose(tmp_path / "night", named(night, 60)).made.list.lacks
    assert "no day frames: INT8 ranges will not hold by day" in dark
    both = choose(tmp_path / "both", named(day, 60), named(night, 60)).made.list.lacks
    assert not any("night" in sentence or "day" in sentence for sentence in both)
    morning = named(lambda index: night(index) if index < 90 else day(index), 200)
    assert "no night frames in the holdout: what INT8 costs them cannot be judged" in (
        choose(tmp_path / "morning", morning).made.list.lacks
    )
    tunnel = named(lambda index: night(index) if index == 7 else day(index), 200)
    hardly = choose(tmp_path / "tunnel", tunnel).made.list.lacks
    assert "hardly any night frames (1 of 160): INT8 ranges will not hold at night" in hardly


def test_a_set_is_of_one_size(tmp_path: Path) -> None:
    def look(index: int) -> FramePair:
        whole = day(index)
        if index < 30:
            return whole
        return pair_of(whole.visible.pixels[:40], whole.thermal.pixels, index)

    with pytest.raises(InputError, match="drive: frame 30 is 64x40 and those before it are 64x48"):
        choose(tmp_path / "set", named(look, 60))


def test_odd_sizes_are_padded_as_on_the_vehicle(tmp_path: Path) -> None:
    def look(index: int) -> FramePair:
        whole = day(index)
        return pair_of(whole.visible.pixels[:46, :62], whole.thermal.pixels[:46, :62], index)

    made = choose(tmp_path / "set", named(look, 60)).made
    assert made.list.size_px == (62, 46)
    assert {x.shape for x in made.tensors()} == {(32, 12, 16)}


def test_a_bundle_of_another_size_is_refused_at_once(tmp_path: Path) -> None:
    bundle = load_bundle().path
    with pytest.raises(InputError, match=r"its models are for .* images and the recording has 64x48"):
        choose(tmp_path / "set", named(day, 60), bundle=bundle)


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="drive: no frame in it"):
        choose(tmp_path / "set", named(day, 0))
    same = day(3)
    with pytest.raises(InputError, match=r"all 50 frames are alike or of no use \(49 stale thermal"):
        choose(tmp_path / "set", named(lambda index: same, 50))
    with pytest.raises(InputError, match=r"only 4 frames for a holdout of 9: .*--holdout-count 4"):
        choose(tmp_path / "set", named(day, 20), holdout=9)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_choice_leaves_nothing_behind(tmp_path: Path) -> None:
    shutil.copytree(choose(tmp_path / "set", named(day, 60)).made.path, tmp_path / "before")

    def look(index: int) -> FramePair:
        if index == 40:
            raise KeyboardInterrupt
        return day(index)

    with pytest.raises(RunError, match="interrupted; nothing was written"):
        choose(tmp_path / "set", named(look, 60))
    assert files(tmp_path / "set") == files(tmp_path / "before")
    assert len(list(tmp_path.iterdir())) == 2


def test_frames_are_paired_as_the_rig_says(tmp_path: Path) -> None:
    asked: list[Rig | None] = []

    def opened(rig: Rig | None = None) -> Recording:
        asked.append(rig)
        return named(day, 60).open()

    path = tmp_path / "rig.toml"
    path.write_text(rig_toml((0, 0)))
    settings = FramesSettings(tmp_path / "set", rig_path=path, count=8, holdout_count=4)
    calibrate_frames([NamedRecording("drive", opened)], settings)
    assert asked
    assert all(rig == load_rig(path) for rig in asked)


def test_a_recording_that_shrinks_meanwhile_is_noticed(tmp_path: Path) -> None:
    lengths = iter([60, 60, 10])
    shrinking = NamedRecording("drive", lambda: named(day, next(lengths)).open())
    with pytest.raises(RecordingError, match="became shorter while it was read"):
        choose(tmp_path / "set", shrinking)
