"""True boxes from YOLO files and COCO json, and what is wrong with them told by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefusion.core.errors import InputError
from edgefusion.metrics.detection import Truth
from edgefusion.recordings.labels import load_labels

CLASSES = ("People", "Car")
SIZE = (200, 100)


def yolo(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def coco(path: Path, boxes: list[Any], **changes: Any) -> Path:
    """A json of two pictures, a and b; boxes are (picture, category, x, y, w, h)."""
    content = {
        "info": {"year": 2024},
        "images": [
            {"id": number, "file_name": f"somewhere/{name}.jpg", "width": SIZE[0], "height": SIZE[1]}
            for number, name in enumerate("ab")
        ],
        "categories": [{"id": 5, "name": "People"}, {"id": 9, "name": "Car"}],
        "annotations": [
            {"id": number, "image_id": picture, "category_id": category, "bbox": bbox, "area": 3, "segmentation": []}
            for number, (picture, category, *bbox) in enumerate(boxes)
        ],
    }
    path.write_text(json.dumps({**content, **changes}))
    return path


def load(path: Path, *names: str) -> dict[str, Truth]:
    return load_labels(path, dict.fromkeys(names or ("a",), SIZE), classes=CLASSES)


def test_yolo_boxes_are_relative_to_the_picture(tmp_path: Path) -> None:
    folder = yolo(tmp_path, a="1 0.5 0.5 0.2 0.4\n\n0 0.1 0.25 0.1 0.5\n", b="")
    truths = load(folder, "a", "b")
    np.testing.assert_allclose(truths["a"].boxes_px, [[80, 30, 120, 70], [10, 0, 30, 50]])
    assert [*truths["a"].classes] == ["Car", "People"]
    assert not truths["a"].crowd.any()
    assert truths["b"].boxes_px.shape == (0, 4)


def test_coco_boxes_are_in_pixels(tmp_path: Path) -> None:
    path = coco(tmp_path / "l.json", [(1, 9, 80, 30, 40, 40), (0, 5, 10, 0, 20, 50), (1, 5, 0, 0, 200, 100)])
    truths = load(path, "a", "b")
    np.testing.assert_allclose(truths["a"].boxes_px, [[10, 0, 30, 50]])
    np.testing.assert_allclose(truths["b"].boxes_px, [[80, 30, 120, 70], [0, 0, 200, 100]])
    assert [*truths["b"].classes] == ["Car", "People"]


def test_coco_crowds_stay_crowds(tmp_path: Path) -> None:
    path = coco(tmp_path / "l.json", [])
    content = json.loads(path.read_text())
    content["annotations"] = [{"image_id": 0, "category_id": 5, "bbox": [1, 1, 5, 5], "iscrowd": 1}]
    path.write_text(json.dumps(content))
    assert load(path)["a"].crowd.tolist() == [True]


def test_pictures_nobody_asked_for_are_ignored(tmp_path: Path) -> None:
    outside = coco(tmp_path / "l.json", [(0, 5, 10, 0, 20, 50), (1, 9, 900, 30, 40, 40)])
    assert [*load(outside, "a")] == ["a"]
    assert [*load(yolo(tmp_path / "y", a="", b="nonsense"), "a")] == ["a"]


@pytest.mark.parametrize("kind", ["yolo", "coco"])
def test_pictures_without_labels_are_left_out_and_named(tmp_path: Path, kind: str) -> None:
    path = yolo(tmp_path / "y", a="") if kind == "yolo" else coco(tmp_path / "l.json", [])
    with pytest.warns(UserWarning, match="1 pictures without labels, left out: c"):
        assert [*load(path, "a", "c")] == ["a"]
    with pytest.raises(InputError, match="no labels for any picture: c, d"):
        load(path, "c", "d")


def test_rounding_at_the_border_is_no_fault(tmp_path: Path) -> None:
    truth = load(yolo(tmp_path, a="0 0.500000 0.500000 1.000001 1.000001"))["a"]
    np.testing.assert_array_equal(truth.boxes_px, [[0, 0, 200, 100]])


@pytest.mark.parametrize("kind", ["yolo", "coco"])
def test_a_box_a_pixel_over_the_border_is_clipped_with_a_warning(tmp_path: Path, kind: str) -> None:
    text = "0 0.0475 0.2 0.105 0.4"  # x from -1 to 20 of 200
    path = yolo(tmp_path / "y", a=text) if kind == "yolo" else coco(tmp_path / "l.json", [(0, 5, -1, 0, 21, 40)])
    with pytest.warns(UserWarning, match="1 boxes reach over its border, in 1 pictures: a; clipped"):
        truth = load(path)["a"]
    np.testing.assert_allclose(truth.boxes_px, [[0, 0, 20, 40]], atol=1e-9)


@pytest.mark.parametrize("kind", ["yolo", "coco"])
def test_boxes_outside_the_picture_are_refused_with_their_names(tmp_path: Path, kind: str) -> None:
    names = [f"n{number:02}" for number in range(12)]
    if kind == "yolo":
        path = yolo(tmp_path / "y", **dict.fromkeys(names, "0 1.2 0.5 0.1 0.1\n0 0.98 0.5 0.1 0.1"))
    else:
        images = [{"id": i, "file_name": f"{n}.png", "width": SIZE[0], "height": SIZE[1]} for i, n in enumerate(names)]
        boxes = [(i, 5, x, 45, 20, 10) for i in range(12) for x in (230, 186)]
        path = coco(tmp_path / "l.json", boxes, images=images)
    listed = ", ".join(names[:10])
    with pytest.raises(InputError, match=f"24 boxes reach outside the picture, in 12 pictures: {listed} and 2 more"):
        load(path, *names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1", "a.txt line 1: not 'class cx cy width height'"),
        ("0 0.5 0.5 0.1 0.1 0.9", "a.txt line 1: not 'class"),
        ("\n0 0.5 0.5 0.1 x", "a.txt line 2: not 'class"),
        ("person 0.5 0.5 0.1 0.1", "a.txt line 1: not 'class"),
        ("2 0.5 0.5 0.1 0.1", "a.txt line 1: class 2 of 2"),
        ("-1 0.5 0.5 0.1 0.1", "a.txt line 1: class -1 of 2"),
        ("0 0.5 0.5 0 0.1", "a.txt line 1: an empty box"),
        ("0 0.5 0.5 -0.1 0.1", "a.txt line 1: an empty box"),
        ("0 0.5 nan 0.1 0.1", "a.txt line 1: an empty box"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"1 labels cannot be read: {message}"):
        load(yolo(tmp_path, a=text))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\xff")
    with pytest.raises(InputError, match=r"a\.txt: .*utf-8"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([(0, 7, 0, 0, 5, 5)], r"a \(annotation 0\): no category 7"),
        ([(0, 5, 3, 3, 5, 5), (0, 5, 0, 0, 0, 5)], r"a \(annotation 1\): an empty box"),
    ],
)
def test_malformed_annotations_are_named(tmp_path: Path, boxes: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=f"1 labels cannot be read: {message}"):
        load(coco(tmp_path / "l.json", boxes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not COCO labels"),
        ("[]", "not COCO labels"),
        ('{"images": [], "annotations": []}', "categories: Field required"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', r"images\.0\.file_name"),
    ],
)
def test_a_json_that_is_not_coco_says_why(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "l.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load(path)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "nowhere")


def test_labels_of_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 pictures have another size than their labels say: a, b"):
        load_labels(coco(tmp_path / "l.json", []), dict.fromkeys("ab", (400, 200)))


def test_two_pictures_of_one_name_are_refused(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i}/a.png", "width": 200, "height": 100} for i in range(2)]
    with pytest.raises(InputError, match=r"1/a\.png and 0/a\.png have the same name"):
        load(coco(tmp_path / "l.json", [], images=images))


def test_real_labels(data: Path) -> None:
    folder = data / "pairs" / "m3fd" / "labels"
    sizes = {path.stem: (1024, 768) for path in folder.glob("*.txt")}
    truths = load_labels(folder, sizes, classes=["People", "Car", "Bus", "Lamp", "Motorcycle", "Truck"])
    assert len(truths) == 4
    assert sum(int((truth.classes == "People").sum()) for truth in truths.values()) == 34
