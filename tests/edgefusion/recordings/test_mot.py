"""MOTChallenge text files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgefusion.core.errors import InputError
from edgefusion.recordings.mot import read_mot

SIZE = (100, 80)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path / "" if path.is_dir() else path


def test_boxes_classes_and_identities_of_each_frame(tmp_path: Path) -> None:
    path = write(tmp_path / "gt.txt", "1,4,11,21,30,40,1,1,1.0", "1,9,1,1,10,10,1,3,0.5", "", "3,4,12,21,30,40,1,1,1")
    first, second, third = read_mot(path, 3, SIZE)
    assert first.truth.boxes_px.tolist() == [[10, 20, 40, 60], [0, 0, 10, 10]]
    assert [*first.truth.classes] == ["person", "car"]
    assert first.identities.tolist() == [4, 9]
    assert (len(second.truth.boxes_px), third.identities.tolist()) == (0, [4])


def test_what_is_not_judged_is_a_crowd_and_other_classes_are_left_out(tmp_path: Path) -> None:
    lines = ("1,1,1,1,9,9,1,1,1", "1,2,1,1,9,9,0,1,1", "1,3,1,1,9,9,1,8,1", "1,4,1,1,9,9,1,10,1")
    (frame,) = read_mot(write(tmp_path / "gt.txt", *lines), 1, SIZE)
    assert frame.identities.tolist() == [1, 2, 3]
    assert frame.truth.crowd.tolist() == [False, True, True]


def test_older_files_have_no_classes(tmp_path: Path) -> None:
    lines = ("1,1,1,1,9,9,1,-1,-1,-1", "1,2,1,1,9,9")
    (frame,) = read_mot(write(tmp_path / "gt.txt", *lines), 1, SIZE)
    assert [*frame.truth.classes] == ["person", "person"]


def test_own_class_names(tmp_path: Path) -> None:
    (frame,) = read_mot(write(tmp_path / "gt.txt", "1,1,1,1,9,9,1,2,1"), 1, SIZE, classes=("cat", "dog"))
    assert [*frame.truth.classes] == ["dog"]


def test_boxes_are_clipped_and_those_outside_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "gt.txt", "1,1,-9,61,30,40,1,1,1", "1,2,200,1,9,9,1,1,1")
    (frame,) = read_mot(path, 1, SIZE)
    assert frame.truth.boxes_px.tolist() == [[0, 60, 20, 80]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("frame,id",), "1 lines cannot be read: line 1"),
        (("1,1,1,1,9,9,1,1,1", "1,1,5"), "line 2: 3 numbers of 6"),
        (("0,1,1,1,9,9,1,1,1",), "line 1: frame 0"),
        (("1,1,1,1,0,9,1,1,1",), "line 1: frame 1, 0x9"),
        (("1,1,1,1,9,9,1,1,1", "1,1,1,1,9,9,1,1,1"), "line 2: 1 a second time in frame 1"),
        (("9,1,1,1,9,9,1,1,1",), "no box to judge in the first 2 frames"),
        (("1,1,1,1,9,9,0,1,1",), "no box to judge"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, lines: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_mot(write(tmp_path / "gt.txt", *lines), 2, SIZE)


def test_an_unknown_class_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class 3 of 2"):
        read_mot(write(tmp_path / "gt.txt", "1,1,1,1,9,9,1,3,1"), 1, SIZE, classes=("cat", "dog"))
    with pytest.raises(InputError, match="cannot be read"):
        read_mot(tmp_path / "none.txt", 1, SIZE)
