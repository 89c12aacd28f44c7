"""A frozen detector: what its output means, and where that lies in the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from detectors import CELLS, NAMES, Floats, constant_model, echo_model
from numpy.typing import NDArray

from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.frames import PixelFormat
from edgefusion.metrics.detection import average_precision, intersection_over_union
from runtime.capture.simulated import Box, SimulatedRig
from runtime.evaluate.detector import COCO_CLASSES, Detector, match_classes, rig_truth


def yolov8(**cells: tuple[float, ...]) -> Floats:
    """[1, 4 + 2, 84]; ``c7=(cx, cy, w, h, person, car)``."""
    output = np.zeros((1, 6, CELLS[64]), np.float32)
    for name, numbers in cells.items():
        output[0, :, int(name[1:])] = numbers
    return output


def yolox(**cells: tuple[float, ...]) -> Floats:
    """[1, 84, 5 + 2]; ``c7=(x, y, w, h, objectness, person, car)``."""
    output = np.zeros((1, CELLS[64], 7), np.float32)
    for name, numbers in cells.items():
        output[0, int(name[1:])] = numbers
    return output


def fastestdet(**cells: tuple[float, ...]) -> Floats:
    """[1, 5 + 2, 4, 4]; ``c7=(objectness, x, y, w, h, person, car)``, cell 7 being in row 1, column 3."""
    output = np.zeros((1, 7, 16), np.float32)
    for name, numbers in cells.items():
        output[0, :, int(name[1:])] = numbers
    return output.reshape(1, 7, 4, 4)


def image(width: int, height: int) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), np.uint8)


def test_yolov8(tmp_path: Path) -> None:
    # An image of 128x64 in 64x64: halved, 16 pixels of padding above and below.
    output = yolov8(c3=(20, 30, 10, 8, 0.1, 0.9), c50=(48, 40, 8, 16, 0.6, 0.2))
    detector = Detector(constant_model(tmp_path / "m.onnx", output), classes=NAMES)
    found = detector(image(128, 64))
    assert detector.layout == "yolov8"
    assert [*found.classes] == ["car", "person"]
    assert found.scores == pytest.approx([0.9, 0.6])
    np.testing.assert_allclose(found.boxes_px, [[30, 20, 50, 36], [88, 32, 104, 64]], atol=1e-4)


def test_yolox(tmp_path: Path) -> None:
    # Cell 9 is row 1, column 1 of 8x8 cells of 8 pixels; cell 64 + 7 row 1, column 3 of 4x4 cells of 16.
    cells = {"c9": (0.5, 0.25, np.log(2), np.log(1), 0.9, 0.8, 0.1), "c71": (0, 0, 0, 0, 0.5, 0.2, 1)}
    detector = Detector(constant_model(tmp_path / "m.onnx", yolox(**cells)), classes=NAMES)
    found = detector(image(128, 64))  # halved, in the upper half
    assert detector.layout == "yolox"
    assert [*found.classes] == ["person", "car"]
    assert found.scores == pytest.approx([0.72, 0.5])
    np.testing.assert_allclose(found.boxes_px, [[8, 12, 40, 28], [80, 16, 112, 48]], atol=1e-4)


def test_yolox_that_decodes_its_grid_itself(tmp_path: Path) -> None:
    output = yolox(c9=(12, 10, 16, 8, 0.9, 0.8, 0.1))
    found = Detector(constant_model(tmp_path / "m.onnx", output), classes=NAMES)(image(128, 64))
    np.testing.assert_allclose(found.boxes_px, [[8, 12, 40, 28]], atol=1e-4)


def test_fastestdet(tmp_path: Path) -> None:
    # Row 1, column 2, centre half a cell to the right; a quarter as wide as the image, half as high. Stretched.
    numbers = (0.8, np.arctanh(0.5), 0.0, -np.log(3), 0.0, 0.75, 0.25)
    detector = Detector(constant_model(tmp_path / "m.onnx", fastestdet(c6=numbers)), classes=NAMES)
    found = detector(image(128, 64))
    assert detector.layout == "fastestdet"
    assert [*found.classes] == ["person"]
    assert found.scores == pytest.approx([0.6])
    np.testing.assert_allclose(found.boxes_px, [[64, 0, 96, 32]], atol=1e-4)


def test_numbers_of_any_size_do_no_harm(tmp_path: Path) -> None:
    output = fastestdet(c6=(0.8, 500, -500, -500, 500, 1, 0))
    found = Detector(constant_model(tmp_path / "m.onnx", output), classes=NAMES)(image(64, 64))
    assert len(found.boxes_px) == 0  # no wider than nothing
    output = yolov8(c3=(np.nan, 30, 10, 8, 0.9, 0), c4=(20, 30, np.inf, 8, 0.9, 0))
    found = Detector(constant_model(tmp_path / "m.onnx", output), classes=NAMES)(image(64, 64))
    assert np.isfinite(found.boxes_px).all()


def test_of_overlapping_boxes_of_a_class_the_surest_stays(tmp_path: Path) -> None:
    boxes = {"c1": (20, 30, 10, 8), "c2": (21, 30, 10, 8), "c3": (20, 30, 10, 8), "c4": (40, 30, 10, 8)}
    scores = [(0.5, 0), (0.7, 0), (0, 0.4), (0.3, 0)]
    output = yolov8(**{cell: (*box, *score) for (cell, box), score in zip(boxes.items(), scores, strict=True)})
    path = constant_model(tmp_path / "m.onnx", output)
    found = Detector(path, classes=NAMES)(image(64, 64))
    assert [*zip(found.classes, found.scores.round(3), strict=True)] == [("person", 0.7), ("car", 0.4), ("person", 0.3)]
    renamed = Detector(path, classes=NAMES, rename={"person": "thing", "car": "thing"})(image(64, 64))
    assert [*zip(renamed.classes, renamed.scores.round(3), strict=True)] == [("thing", 0.7), ("thing", 0.3)]


def test_boxes_are_clipped_and_weak_ones_left_out(tmp_path: Path) -> None:
    output = yolov8(c1=(0, 0, 20, 30, 0.9, 0), c2=(40, 40, 9, 9, 0.2, 0), c3=(99, 99, 9, 9, 0.9, 0))
    path = constant_model(tmp_path / "m.onnx", output)
    found = Detector(path, classes=NAMES, least_score=0.3)(image(64, 64))
    np.testing.assert_allclose(found.boxes_px, [[0, 0, 10, 15]], atol=1e-4)
    assert len(Detector(path, classes=NAMES)(image(64, 64)).boxes_px) == 2


def test_at_most_a_hundred_of_a_class(tmp_path: Path) -> None:
    output = np.zeros((1, 6, 21 * 64), np.float32)
    output[0, 0], output[0, 1] = np.arange(21 * 64) % 32 * 8 + 4, np.arange(21 * 64) // 32 * 8 + 4
    output[0, 2:4], output[0, 4] = 6, 0.5
    output[0, 5, :3] = 0.9
    detector = Detector(constant_model(tmp_path / "m.onnx", output, size=(256, 256)), classes=NAMES)
    names, counts = np.unique(np.asarray(detector(image(256, 256)).classes), return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {"car": 3, "person": 100}


def test_classes_may_be_renamed_and_others_are_dropped(tmp_path: Path) -> None:
    output = yolov8(c1=(20, 30, 10, 8, 0.9, 0), c2=(40, 30, 10, 8, 0, 0.9))
    path = constant_model(tmp_path / "m.onnx", output)
    assert [*Detector(path, classes=NAMES, rename={"person": "People"})(image(64, 64)).classes] == ["People"]
    with pytest.raises(UsageError, match="no class dog"):
        Detector(path, classes=NAMES, rename={"dog": "Dog"})


def test_names_in_the_file_are_used(tmp_path: Path) -> None:
    output = yolov8(c1=(20, 30, 10, 8, 0, 0.9))
    path = constant_model(tmp_path / "m.onnx", output, names={0: "hand", 1: "foot"})
    assert Detector(path).classes == ("hand", "foot")
    assert [*Detector(path)(image(64, 64)).classes] == ["foot"]
    assert Detector(path, classes=NAMES).classes == NAMES


def test_a_model_of_80_classes_without_names_is_cocos(tmp_path: Path) -> None:
    output = np.zeros((1, 84, CELLS[64]), np.float32)
    assert Detector(constant_model(tmp_path / "m.onnx", output)).classes == COCO_CLASSES


@pytest.mark.parametrize("names", [None, ("person",), ("a", "b", "c")])
def test_class_names_that_do_not_fit(tmp_path: Path, names: tuple[str, ...] | None) -> None:
    path = constant_model(tmp_path / "m.onnx", yolov8())
    with pytest.raises(InputError, match="class names for the 2 classes"):
        Detector(path, classes=names)


def test_a_model_of_any_input_size_gets_one(tmp_path: Path) -> None:
    output = np.zeros((1, 6, CELLS[32]), np.float32)
    path = constant_model(tmp_path / "m.onnx", output, size=("w", "h"))
    assert Detector(path, classes=NAMES, size_px=(32, 32)).size_px == (32, 32)
    with pytest.raises(InputError, match=r"input of 640x640: output0 \[1,6,21\]"):
        Detector(path, classes=NAMES)


@pytest.mark.parametrize(
    ("outputs", "listed"),
    [
        ([np.zeros((1, 300, 6), np.float32)], r"output0 \[1,300,6\]"),
        ([np.zeros((1, 252, 7), np.float32)], r"output0 \[1,252,7\]"),
        ([np.zeros((1, 4, CELLS[64]), np.float32)], r"output0 \[1,4,84\]"),
        ([np.zeros((2, 6, CELLS[64]), np.float32)], r"output0 \[2,6,84\]"),
        ([np.zeros((1, 7, 4, 3), np.float32)], r"output0 \[1,7,4,3\]"),
        ([np.zeros((1, 4), np.float32), np.zeros((1, 9), np.float32)], r"output0 \[1,4\], output1 \[1,9\]"),
    ],
)
def test_an_unknown_layout_is_named(tmp_path: Path, outputs: list[Floats], listed: str) -> None:
    path = constant_model(tmp_path / "m.onnx", *outputs)
    with pytest.raises(InputError, match=rf"m\.onnx: an unknown output layout for an input of 64x64: {listed}; export"):
        Detector(path, classes=NAMES)


def test_files_that_are_no_detector(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Detector(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"hello")
    with pytest.raises(InputError, match="not a readable ONNX model"):
        Detector(tmp_path / "m.onnx")
    student = Path(__file__).parents[3] / "edgefusion" / "assets" / "proxy-nano" / "model.fp32.onnx"
    with pytest.raises(InputError, match="its inputs are"):
        Detector(student)


@pytest.mark.parametrize(
    "pixels", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3))]
)
def test_only_rgb_bytes_are_taken(tmp_path: Path, pixels: Any) -> None:
    detector = Detector(constant_model(tmp_path / "m.onnx", yolov8()), classes=NAMES)
    with pytest.raises(UsageError, match="an image of"):
        detector(pixels)


@pytest.mark.parametrize(
    ("output", "place", "first", "padding"),
    [
        (yolov8(c3=(20, 30, 10, 8, 0, 0)), (0, 4, 3), 200 / 255, 114 / 255),
        (yolox(c3=(0, 0, 0, 0, 1, 0, 0)), (0, 3, 5), 10, 114),
        (fastestdet(c6=(1, 0, 0, 0, 0, 0, 0)), (0, 5, 1, 2), 10 / 255, 10 / 255),
    ],
)
def test_images_are_fed_as_the_layout_wants_them(
    tmp_path: Path, output: Floats, place: tuple[int, ...], first: float, padding: float
) -> None:
    """Which channel comes first, its scale, and what fills the half that a wide image leaves free."""
    detector = Detector(echo_model(tmp_path / "m.onnx", output, place), classes=NAMES, least_score=1e-6)
    for size, expected in (((64, 64), first), ((128, 64), (first + padding) / 2)):
        coloured = image(*size)
        coloured[..., 0], coloured[..., 2] = 200, 10
        assert detector(coloured).scores.max() == pytest.approx(expected / 1000, rel=1e-5)


def test_coco_classes_find_their_labels() -> None:
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    m3fd = ("People", "Car", "Bus", "Lamp", "Motorcycle", "Truck")
    assert match_classes(COCO_CLASSES, m3fd) == {
        "person": "People", "car": "Car", "motorcycle": "Motorcycle", "bus": "Bus", "truck": "Truck"
    }  # fmt: skip
    rig = ("person", "bicycle", "car")
    assert match_classes(COCO_CLASSES, rig) == dict(zip(rig, rig, strict=True))
    with pytest.raises(UsageError, match="knows none of the classes smoke, fire"):
        match_classes(COCO_CLASSES, ["smoke", "fire"])


def test_boxes_of_the_rig_are_moved_from_pixel_centres_to_edges() -> None:
    boxes = [Box("person", 10, 20, 30, 60, 9.0, 1.0, 1), Box("car", 0, 0, 639, 479, 3.0, 0.2, 2)]
    truth = rig_truth(boxes)
    np.testing.assert_array_equal(truth.boxes_px, [[10.5, 20.5, 30.5, 60.5], [0.5, 0.5, 639.5, 479.5]])
    assert [*truth.classes] == ["person", "car"]
    assert truth.crowd.tolist() == [False, True]
    assert rig_truth([]).boxes_px.shape == (0, 4)


def thermal_rgb(rig: SimulatedRig, index: int) -> NDArray[np.uint8]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey = cv2.warpPerspective(rig.render(index).thermal.pixels, rig.registration, rig.visible_size_px, flags=flags)
    return np.asarray(np.repeat(np.asarray(grey)[..., None], 3, axis=2), np.uint8)


def test_a_real_detector_finds_people_in_fog_by_thermal(data: Path) -> None:
    detector = Detector(
        data / "detectors" / "fastestdet.onnx", rename=match_classes(COCO_CLASSES, ["person", "bicycle", "car"])
    )
    assert (detector.layout, detector.size_px) == ("fastestdet", (352, 352))
    truths, visible, thermal = [], [], []
    for seed in range(4):
        rig = SimulatedRig(seed=seed, fog=0.5, thermal_format=PixelFormat.GREY)
        for index in (0, 90, 180, 270):
            truths.append(rig_truth(rig.boxes(index)))
            visible.append(detector(np.asarray(rig.render(index).visible.pixels, np.uint8)))
            thermal.append(detector(thermal_rgb(rig, index)))
    scores = [
        average_precision(found, truths, classes=["person"], draws=0).overall.figures["AP50"]
        for found in (visible, thermal)
    ]
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[1].value > scores[0].value + 0.05


def test_its_boxes_lie_where_people_are(data: Path) -> None:
    detector = Detector(data / "detectors" / "fastestdet.onnx", rename={"person": "person"}, least_score=0.35)
    best = []
    for seed in range(4):
        rig = SimulatedRig(seed=seed, thermal_format=PixelFormat.GREY)
        for index in range(0, 300, 50):
            found, truth = detector(thermal_rgb(rig, index)), rig_truth(rig.boxes(index))
            people = truth.boxes_px[np.asarray(truth.classes) == "person"]
            best += intersection_over_union(found.boxes_px, people).max(axis=1, initial=0).tolist()
    assert len(best) >= 5
    assert np.median(best) > 0.6
