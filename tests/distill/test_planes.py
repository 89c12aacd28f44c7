from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scenes import write_folder, write_tar, write_video

from distill.crops import CropSampler
from distill.planes import Planes, open_planes, prepare
from edgefusion.core.errors import InputError, RecordingError
from edgefusion.core.pairs import find_pairs
from edgefusion.kernels.agc import AgcSpec
from edgefusion.recordings.recording import open_recording


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder: two pairs, a clip of 21 frames, and a split of the clip alone."""
    write_folder(tmp_path / "data" / "pairs" / "roadscene", ["a", "b"])
    for half in ("visible", "thermal"):
        (tmp_path / "data" / "recordings" / "m3svd" / half).mkdir(parents=True)
        write_video(tmp_path / "data" / "recordings" / "m3svd" / half / "clip.mp4", 21)
    split = {"train": {"roadscene": ["a", "b"], "m3svd_clips": ["clip"]}, "clips": {"m3svd_clips": ["clip"]}, "no": {}}
    (tmp_path / "data" / "splits.json").write_text(json.dumps(split))
    return tmp_path / "data"


def test_a_data_folder_has_pairs_and_every_tenth_frame_of_clips(data: Path) -> None:
    planes = open_planes(str(data))
    assert planes.names == ["roadscene/a", "roadscene/b", "m3svd/0", "m3svd/1", "m3svd/2"]
    assert [(source["name"], source["pairs"]) for source in planes.sources()] == [("roadscene", 2), ("m3svd", 3)]
    assert planes.option == "--pairs PAIRS --split train"
    halves = (data / "recordings" / "m3svd" / half / "clip.mp4" for half in ("visible", "thermal"))
    frames = [prepare(pair, AgcSpec()) for pair in open_recording(*halves)]
    for index in (4, 2, 3):
        np.testing.assert_array_equal(planes[index], frames[10 * (index - 2)])
    assert open_planes(str(data), "clips").names == ["m3svd/0", "m3svd/1", "m3svd/2"]
    with pytest.raises(InputError, match="no pair in split 'no'"):
        open_planes(str(data), "no")


def test_a_clip_cut_short_after_it_was_listed_is_named(data: Path) -> None:
    planes = open_planes(str(data), "clips")
    for half in ("visible", "thermal"):
        write_video(data / "recordings" / "m3svd" / half / "clip.mp4", 11)
    with pytest.raises(RecordingError, match=r"clip\.mp4: ends before frame 20"):
        planes.make(2)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_pairs_without_a_set_are_one_of_their_place(tmp_path: Path, kind: str) -> None:
    place = write_folder(tmp_path / "drive", ["a", "b"])
    if kind == "tar":
        place = write_tar(tmp_path / "drive.tar", place, ["a", "b"])
    planes = open_planes(str(place))
    assert planes.sources() == [{"name": "drive", "pairs": 2, "licence": "unknown"}]
    assert planes.option == "--pairs PAIRS"


def test_the_planes_used_last_stay_in_memory_as_far_as_they_may(tmp_path: Path) -> None:
    pairs = find_pairs(str(write_folder(tmp_path / "drive", ["a", "b", "c"])), "")
    planes = Planes(pairs, label="drive", cache_bytes=2 * 2 * 48 * 64 * 2)
    first, second = planes[0], planes[1]
    assert planes[0] is first
    third = planes[2]  # the second has not been used for longest
    assert planes[0] is first
    assert planes[2] is third
    assert planes[1] is not second
    np.testing.assert_array_equal(planes[1], second)
    assert Planes(pairs, label="drive", cache_bytes=0)[0].shape == (2, 48, 64)


def test_a_pair_smaller_than_a_crop_gives_its_turn_to_the_next() -> None:
    small, large = (np.full((2, side, side), value, np.float16) for side, value in ((16, 0.0), (64, 1.0)))
    sampler = CropSampler([small, large], size=32, batch=8, seed=0, degraded=False)
    assert sampler.batch(0).min() == 1
    with pytest.raises(InputError, match="no pair is as large as 32 px; lower --crop-px"):
        CropSampler([small, small], size=32, batch=8, seed=0).batch(0)
