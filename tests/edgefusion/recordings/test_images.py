from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scenes import noise, write_folder

from edgefusion.core.errors import RecordingError
from edgefusion.core.frames import PixelFormat
from edgefusion.core.pairs import load_split
from edgefusion.recordings.images import match_folders, read_thermal, read_visible, write_png


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("pixel_format", [PixelFormat.GREY, PixelFormat.Y16])
def test_thermal_comes_back_bit_for_bit(tmp_path: Path, suffix: str, pixel_format: PixelFormat) -> None:
    pixels = noise(pixel_format, (40, 30))
    cv2.imwrite(str(tmp_path / f"a{suffix}"), pixels)
    read = read_thermal(tmp_path / f"a{suffix}")
    assert read.dtype == pixel_format.dtype
    np.testing.assert_array_equal(read, pixels)


def test_visible_of_any_usual_kind_becomes_8_bit_rgb(tmp_path: Path) -> None:
    pixels = noise(PixelFormat.RGB24, (40, 30))
    write_png(tmp_path / "rgb.png", pixels)
    np.testing.assert_array_equal(read_visible(tmp_path / "rgb.png"), pixels)
    write_png(tmp_path / "deep.png", pixels[..., 0].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_visible(tmp_path / "deep.png")[..., 2], pixels[..., 0])
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((30, 40, 3), 90, np.uint8))
    assert abs(int(read_visible(tmp_path / "a.jpg").mean()) - 90) <= 1


def test_thermal_stored_as_grey_rgb_is_grey(tmp_path: Path) -> None:
    pixels = noise(PixelFormat.GREY, (40, 30))
    write_png(tmp_path / "a.png", np.repeat(pixels[..., None], 3, axis=2))
    assert np.abs(read_thermal(tmp_path / "a.png").astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "not a readable image"),
        (lambda path: path.write_bytes(b"hello"), "not a readable image"),
        (lambda path: (write_png(path, noise(PixelFormat.GREY, (90, 90))), truncate(path)), "not a readable image"),
        (lambda path: Image.fromarray(np.zeros((9, 9), np.float32)).save(path, "TIFF"), "floating-point"),
        (lambda path: write_png(path, noise(PixelFormat.RGB24, (9, 9))), "false colour"),
    ],
)
def test_a_bad_picture_is_an_error_that_names_it(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "thermal.png"
    make(path)
    with pytest.raises(RecordingError, match=rf"thermal\.png: .*{message}"):
        read_thermal(path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_names_that_do_not_match_are_listed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "r", ["a", "b", "c"])
    (folder / "thermal" / "b.png").unlink()
    (folder / "visible" / "c.png").unlink()
    with pytest.raises(RecordingError, match=r"2 names .*: b, c; .*--intersect"):
        match_folders(folder / "visible", folder / "thermal")
    pairs, alone = match_folders(folder / "visible", folder / "thermal", intersect=True)
    assert ([pair.name for pair in pairs], alone) == (["a"], ["b", "c"])


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "r", ["a"])
    (folder / "visible" / "a.jpg").write_bytes((folder / "visible" / "a.png").read_bytes())
    with pytest.raises(RecordingError, match="the same name"):
        match_folders(folder / "visible", folder / "thermal")


def test_the_validation_split_is_whole(data: Path) -> None:
    pairs = load_split(data, "val")
    assert len(pairs) == 39
    assert all(pair.visible.exists() and pair.thermal.exists() for pair in pairs)
