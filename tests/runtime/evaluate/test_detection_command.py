"""``edgefusion evaluate --detector``: what it finds, in whose images, and what it says of labels that do not fit."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from detectors import bright_model, constant_model
from scenes import write_folder, write_tar

from edgefusion.metrics.detection import FIGURES, average_precision
from edgefusion.recordings.images import read_thermal, read_visible, write_png
from edgefusion.recordings.labels import read_yolo
from runtime.evaluate.detection import DRAWS
from runtime.evaluate.detector import Detector
from runtime.evaluate.views import with_luma

Call = Callable[..., Result]
NAMES = ["a", "b", "c", "d"]
SIZE = (64, 48)
CELLS = 4


def write_scenes(folder: Path, names: list[str], *, labelled: list[str] | None = None, seed: int = 7) -> Path:
    """Pairs of 4x4 cells: people glow in thermal only, lamps in visible only; labels of all but the last person."""
    folder.mkdir(parents=True)
    for part in ("visible", "thermal", "labels"):
        (folder / part).mkdir()
    draw = np.random.default_rng(seed)
    for name in names:
        people, lamps = np.split(draw.permutation(CELLS**2)[:7], [4])
        visible, thermal = draw.integers(20, 60, CELLS**2), draw.integers(20, 160, CELLS**2)
        thermal[people], visible[lamps] = draw.integers(120, 250, 4), 240
        cell = np.ones((SIZE[1] // CELLS, SIZE[0] // CELLS))
        whole = [np.kron(each.reshape(CELLS, CELLS), cell).astype(np.uint8) for each in (visible, thermal)]
        write_png(folder / "visible" / f"{name}.png", np.repeat(whole[0][..., None], 3, axis=2))
        write_png(folder / "thermal" / f"{name}.png", whole[1])
        if labelled is None or name in labelled:
            kinds = [*((0, each) for each in people[:3]), (1, lamps[0])]
            (folder / "labels" / f"{name}.txt").write_text("".join(yolo_line(*each) for each in kinds))
    return folder


def yolo_line(kind: int, cell: int) -> str:
    return f"{kind} {(cell % CELLS + 0.5) / CELLS} {(cell // CELLS + 0.5) / CELLS} {1 / CELLS} {1 / CELLS}\n"


def as_coco(folder: Path, classes: tuple[str, ...]) -> dict[str, Any]:
    """The same labels in one COCO json."""
    images, boxes = [], []
    for number, path in enumerate(sorted(folder.glob("labels/*.txt"))):
        width, height = SIZE
        images.append({"id": number, "file_name": f"x/{path.stem}.png", "width": width, "height": height})
        for line in path.read_text().splitlines():
            kind, cx, cy, w, h = (float(part) for part in line.split())
            bbox = [(cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height]
            boxes.append({"image_id": number, "category_id": int(kind) + 5, "bbox": bbox})
    categories = [{"id": number + 5, "name": name} for number, name in enumerate(classes)]
    return {"images": images, "annotations": boxes, "categories": categories}


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labelled pairs, a detector and a folder of fused images."""
    folder = write_scenes(tmp_path_factory.mktemp("detection") / "drive", NAMES)
    bright_model(folder / "bright.onnx")
    (folder / "fused").mkdir()
    for name in NAMES:
        visible, thermal = sources(folder, name)
        write_png(folder / "fused" / f"{name}.png", visible // 2 + thermal // 2)
    return folder


def sources(folder: Path, name: str) -> tuple[Any, Any]:
    thermal = read_thermal(folder / "thermal" / f"{name}.png").astype(np.uint8)
    return read_visible(folder / "visible" / f"{name}.png"), np.repeat(thermal[..., None], 3, axis=2)


def words(folder: Path, *more: object) -> list[object]:
    """A command with one metric and one entry: what the detector does is the same with all."""
    fused = ["--fused", f"half={folder / 'fused'}", "--no-baselines", "--metrics", "EN"]
    return ["evaluate", "--pairs", folder, "--detector", folder / "bright.onnx", *fused, *more, "--json"]


def run(edgefusion: Call, *command: object) -> dict[str, Any]:
    done = edgefusion(*command)
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def result(edgefusion: Call, drive: Path) -> dict[str, Any]:
    command = ["evaluate", "--pairs", drive, "--detector", drive / "bright.onnx", "--classes", "People,Lamp", "--json"]
    return run(edgefusion, *command, "--fused", f"half={drive / 'fused'}", "--metrics", "EN", "--seed", 3)


def test_every_entry_is_looked_at(result: dict[str, Any]) -> None:
    detection = result["detection"]
    assert [*detection["entries"]] == ["half", "visible", "thermal", "mean", "max", "laplacian"]
    assert (detection["detector"], detection["layout"], detection["images"]) == ("bright.onnx", "fastestdet", 4)
    assert detection["unknown_classes"] == ["Lamp"]
    assert detection["truth"].endswith("drive/labels")
    for entry in detection["entries"].values():
        assert [*entry["classes"]] == ["People"]
        assert entry["overall"]["truths"] == 12
        assert [*entry["overall"]["figures"]] == [*FIGURES]


def test_figures_are_those_of_the_detector_on_the_very_images(result: dict[str, Any], drive: Path) -> None:
    detector = Detector(drive / "bright.onnx", rename={"person": "People"})
    truths = read_yolo(drive / "labels", dict.fromkeys(NAMES, SIZE), classes=["People", "Lamp"])
    pictures: dict[str, list[Any]] = {"visible": [], "thermal": [], "half": [], "max": []}
    for name in NAMES:
        visible, thermal = sources(drive, name)
        fused = with_luma(visible, np.maximum(visible, thermal)[..., 0].astype(np.float32))  # these pictures are grey
        images = (visible, thermal, read_visible(drive / "fused" / f"{name}.png"), fused)
        for entry, image in zip(pictures, images, strict=True):
            pictures[entry].append(image)
    scores = {
        entry: average_precision(
            [detector(image) for image in images], [*truths.values()], classes=["People"], draws=DRAWS, seed=3
        ).overall
        for entry, images in pictures.items()
    }
    for entry, expected in scores.items():
        found = result["detection"]["entries"][entry]
        for figure, value in expected.figures.items():
            stated = found["overall"]["figures"][figure]
            assert (stated and (stated["mean"], stated["low"], stated["high"])) == (value and pytest.approx(value))
        if entry != "visible":
            gains = expected.samples["AP50"] - scores["visible"].samples["AP50"]
            low, high = np.percentile(gains, (2.5, 97.5))
            assert found["against_visible"]["AP50"]["low"] == pytest.approx(low)
            assert found["against_visible"]["AP50"]["high"] == pytest.approx(high)
    assert result["detection"]["entries"]["visible"]["against_visible"] == {}
    assert (scores["thermal"].figures["AP50"] or (0,))[0] > (scores["visible"].figures["AP50"] or (1,))[0] + 0.2


def test_visible_and_thermal_are_there_without_baselines(
    edgefusion: Call, drive: Path, result: dict[str, Any]
) -> None:  # fmt: skip
    alone = run(edgefusion, *words(drive, "--classes", "People,Lamp", "--seed", 3))
    assert [entry["name"] for entry in alone["entries"]] == ["half"]
    assert [*alone["per_pair"][0]["values"]] == ["half"]
    assert [*alone["detection"]["entries"]] == ["half", "visible", "thermal"]
    for name, entry in alone["detection"]["entries"].items():
        assert entry == result["detection"]["entries"][name]
    assert alone["computed"] == 0


def test_another_detector_looks_again_and_other_names_do_not(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(drive, tmp_path / "drive")
    assert run(edgefusion, *words(folder, "--classes", "People,Lamp"))["computed"] == 0
    assert run(edgefusion, *words(folder, "--classes", "Lamp,Pedestrian"))["computed"] == 0
    bright_model(folder / "bright.onnx", gain=0.5)
    assert run(edgefusion, *words(folder, "--classes", "People,Lamp"))["computed"] == 4 * 3
    (folder / "bright.onnx.data").write_bytes(b"other weights")
    assert run(edgefusion, *words(folder, "--classes", "People,Lamp"))["computed"] == 4 * 3


def test_a_detector_that_finds_nothing_scores_zero(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    command = words(drive, "--classes", "People,Lamp", "--detector", bright_model(tmp_path / "blind.onnx", gain=0))
    for computed in (4 * 3, 0):
        found = run(edgefusion, *command)
        assert found["computed"] == computed
        entry = found["detection"]["entries"]["thermal"]
        assert entry["overall"]["figures"]["AP50"] == {"mean": 0, "low": 0, "high": 0}
        assert entry["against_visible"]["AP50"] == {"mean": 0, "low": 0, "high": 0}


@pytest.mark.parametrize(
    "place", ["labels/classes.txt", "classes.txt", "data.yaml", "listed data.yaml", "COCO", "json"]
)
def test_class_names_and_boxes_in_their_usual_places(
    edgefusion: Call, drive: Path, result: dict[str, Any], tmp_path: Path, place: str
) -> None:
    folder = shutil.copytree(drive, tmp_path / "drive")
    more: list[object] = ["--seed", 3]
    if place.endswith("classes.txt"):
        (folder / place).write_text("People\nLamp\n")
    elif place.endswith("data.yaml"):
        names = "[People, Lamp]" if "listed" in place else "{0: People, 1: Lamp}"
        (folder / "data.yaml").write_text(f"path: .\nnames: {names}\n")
    else:
        coco = json.dumps(as_coco(folder, ("People", "Lamp")))
        shutil.rmtree(folder / "labels")
        (folder / "labels").mkdir()
        (folder / ("true.json" if place == "json" else "labels/instances.json")).write_text(coco)
        more += ["--labels", folder / "true.json"] if place == "json" else []
    found = run(edgefusion, *words(folder, *more))["detection"]
    expected = {name: result["detection"]["entries"][name] for name in ("half", "visible", "thermal")}
    assert found["unknown_classes"] == ["Lamp"]
    for name, entry in found["entries"].items():
        for figure, interval in entry["overall"]["figures"].items():
            assert interval == (expected[name]["overall"]["figures"][figure] and pytest.approx(
                expected[name]["overall"]["figures"][figure]
            ))  # fmt: skip


def test_a_known_data_set_needs_no_names(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(drive, tmp_path / "M3FD")  # 0 People, 1 Car, as its owners say
    assert {*run(edgefusion, *words(folder))["detection"]["entries"]["visible"]["classes"]} == {"People", "Car"}


def test_labels_of_a_tar_lie_where_labels_says(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "drive.tar", drive, NAMES)
    command = ["evaluate", "--pairs", tar, "--detector", drive / "bright.onnx", "--classes", "People,Lamp", "--json"]
    done = edgefusion(*command)
    assert done.exit_code == 4
    assert "a.visible.png: no labels lie beside pictures in a tar; give --labels" in done.stderr
    detection = run(edgefusion, *command, "--labels", drive / "labels")["detection"]
    assert detection["entries"]["visible"]["overall"]["truths"] == 12


@pytest.mark.filterwarnings("default")
def test_labels_without_names_are_of_one_class(edgefusion: Call, drive: Path) -> None:
    done = edgefusion(*words(drive))
    assert done.exit_code == 0, done.output
    assert "the classes of these labels have no names" in done.stderr
    assert "give them in the order of their numbers: --classes A,B,C" in done.stderr
    for entry in json.loads(done.stdout)["detection"]["entries"].values():
        assert [*entry["classes"]] == ["object"]
        assert entry["overall"]["figures"]["AP50"]["mean"] > 0


@pytest.mark.filterwarnings("default")
def test_pairs_without_labels_are_named_and_not_looked_at(edgefusion: Call, tmp_path: Path) -> None:
    names = [f"n{index:02}" for index in range(13)]
    folder = write_scenes(tmp_path / "drive", names, labelled=names[:2], seed=8)
    shutil.copytree(folder / "thermal", folder / "fused")
    bright_model(folder / "bright.onnx")
    done = edgefusion(*words(folder, "--classes", "People,Lamp"))
    assert "nothing is detected in 11 pairs without labels: n02, n03, " in done.stderr
    assert "n11 and 1 more" in done.stderr
    found = json.loads(done.stdout)
    assert (found["pairs"], found["detection"]["images"], found["computed"]) == (13, 2, 13 + 2 * 2)


def test_a_split_has_labels_in_each_set(edgefusion: Call, tmp_path: Path) -> None:
    for name in ("north", "south"):
        write_scenes(tmp_path / "pairs" / name, ["a"], seed=9)
    (tmp_path / "splits.json").write_text('{"val": {"north": ["a"], "south": ["a"]}}')
    bright_model(tmp_path / "bright.onnx")
    for name in ("north", "south"):
        shutil.copytree(tmp_path / "pairs" / name / "thermal", tmp_path / "fused" / name)
    command = words(tmp_path, "--classes", "People,Lamp")
    assert run(edgefusion, *command)["detection"]["images"] == 2
    one = tmp_path / "labels"
    shutil.copytree(tmp_path / "pairs" / "north" / "labels", one)
    done = edgefusion(*command, "--labels", one)
    assert (done.exit_code, "north/a and south/a would have the same labels" in done.stderr) == (4, True)
    for name in ("north", "south"):
        shutil.move(tmp_path / "pairs" / name / "labels", one / name)
    assert run(edgefusion, *command, "--labels", one)["detection"]["images"] == 2


def test_sweeps_tell_how_ap_falls(edgefusion: Call, drive: Path) -> None:
    command = ["evaluate", "--pairs", drive, "--detector", drive / "bright.onnx", "--classes", "People,Lamp"]
    command += ["--metrics", "EN", "--misalign", "px=0:16:16"]
    found = run(edgefusion, *command, "--json")
    (curve,) = found["curves"]
    for name, figures in curve["entries"].items():
        assert [*figures] == ["EN", "AP50"]
        overall = found["detection"]["entries"][name]["overall"]["figures"]["AP50"]
        assert figures["AP50"][0] == overall
    assert curve["entries"]["visible"]["AP50"][1] == curve["entries"]["visible"]["AP50"][0]
    assert curve["entries"]["thermal"]["AP50"][1]["mean"] < curve["entries"]["thermal"]["AP50"][0]["mean"] - 0.2
    assert "AP50" in edgefusion(*command).stdout.split("px:")[1]


def test_the_table(edgefusion: Call, drive: Path) -> None:
    command = words(drive, "--classes", "People,Lamp")[:-1]
    text = edgefusion(*command).stdout
    parts = ("bright.onnx (fastestdet), frozen, on 4 images", "no such class: Lamp", "AP50:95", "People (12)")
    assert all(part in text for part in parts), text
    assert text.count("│ visible") == 2


@pytest.fixture
def place(drive: Path, tmp_path: Path) -> Path:
    """A drive, and labels that are wrong in many ways."""
    folder = shutil.copytree(drive, tmp_path / "drive")
    many = [f"n{index:02}" for index in range(12)]
    shutil.copytree(write_folder(folder / "more", many) / "thermal", folder / "more" / "fused")
    bright_model(folder / "more" / "bright.onnx")
    (folder / "more" / "labels").mkdir()
    for name in many:
        (folder / "more" / "labels" / f"{name}.txt").write_text("0 1.5 0.5 0.2 0.2\n")
    for name in NAMES:
        for kind, text in (("empty", ""), ("words", "person 0 0 1 1\n")):
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / f"{name}.txt").write_text(text)
    (folder / "none").mkdir()
    (folder / "broken.json").write_text('{"images": []}')
    bright_model(folder / "nameless.onnx", names=None)
    constant_model(folder / "unknown.onnx", np.zeros((1, 300, 6), np.float32))
    (folder / "text.onnx").write_text("hello")
    (folder / "data").mkdir()
    shutil.copytree(folder / "labels", folder / "data" / "labels")
    (folder / "data" / "data.yaml").write_text("names: 3\n")
    return folder


GIVEN = ("--classes", "People,Lamp")
CASES: dict[str, tuple[Callable[[Path], list[object]], int, str]] = {
    "a class too many": (lambda p: words(p, "--classes", "People"), 4, "a.txt line 4: class 1 of 1"),
    "no such class in the detector": (
        lambda p: words(p, "--classes", "smoke,fire"), 2,
        "knows none of the classes fire, smoke; name them as it does: person, car",
    ),
    "boxes outside the pictures": (
        lambda p: words(p / "more", *GIVEN), 4, "12 boxes reach outside the picture, in 12 pictures: n00, n01, n02, "
        "n03, n04, n05, n06, n07, n08, n09 and 2 more; check that they are these pictures' labels",
    ),
    "no labels": (
        lambda p: words(p, *GIVEN, "--labels", p / "none"), 4, "no pair has labels; looked in {p}/none; put NAME.txt",
    ),
    "no such labels": (lambda p: words(p, *GIVEN, "--labels", p / "x"), 4, "x: no such file or folder of labels"),
    "labels without a box": (
        lambda p: words(p, *GIVEN, "--labels", p / "empty"), 4, "labels of 4 pairs have no box; looked in {p}/empty",
    ),
    "labels of another format": (
        lambda p: words(p, *GIVEN, "--labels", p / "words"), 4, "4 labels cannot be read: a.txt line 1: not 'class cx",
    ),
    "no COCO": (lambda p: words(p, "--labels", p / "broken.json"), 4, "broken.json: not COCO labels (annotations: "),
    "names for COCO": (lambda p: words(p, *GIVEN, "--labels", p / "broken.json"), 2, "names the numbers of YOLO"),
    "names that are none": (
        lambda p: words(p, "--labels", p / "data" / "labels"), 4,
        "data.yaml: no class names can be read (no list of names); give them in the order",
    ),
    "nothing between commas": (lambda p: words(p, "--classes", "People,,Lamp"), 2, "names nothing between two commas"),
    "an unknown layout": (
        lambda p: words(p, *GIVEN, "--detector", p / "unknown.onnx"), 4, "unknown output layout for an input of 64x64",
    ),
    "no model": (lambda p: words(p, *GIVEN, "--detector", p / "text.onnx"), 4, "text.onnx: not a readable ONNX model"),
    "no file": (lambda p: words(p, *GIVEN, "--detector", p / "x.onnx"), 4, "x.onnx: no such file"),
    "a model without names": (
        lambda p: words(p, *GIVEN, "--detector", p / "nameless.onnx"), 4, "give them: --detector-classes A,B,C",
    ),
    "labels alone": (
        lambda p: ["evaluate", "--pairs", p, "--labels", p / "labels"], 2, "--labels without a detector; add --det",
    ),
    "classes alone": (lambda p: ["evaluate", "--pairs", p, *GIVEN], 2, "--classes without a detector"),
    "a folder called visible": (
        lambda p: words(p, *GIVEN, "--fused", f"visible={p / 'fused'}"), 2, "several entries are called visible",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_with_the_names(edgefusion: Call, place: Path, name: str) -> None:
    make, code, message = CASES[name]
    done = edgefusion(*make(place))
    assert done.exit_code == code, done.output
    assert message.replace("{p}", str(place)) in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_names_may_be_given_for_a_detector_without(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    path = bright_model(tmp_path / "nameless.onnx", names=None)
    more = ("--classes", "glow,Lamp", "--detector", path, "--detector-classes", "glow,nothing")
    found = run(edgefusion, *words(drive, *more))["detection"]
    assert [*found["entries"]["visible"]["classes"]] == ["glow"]


def test_without_pycocotools_it_says_so_at_once(
    edgefusion: Call, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    done = edgefusion(*words(drive / "not even there"))
    assert (done.exit_code, "pip install 'edgefusion[detect]'" in done.stderr) == (3, True)


def boxes_kept(cache: Path) -> int:
    """Whole lines with boxes in the cache."""
    count = 0
    for path in cache.glob("*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                count += json.loads(line)[4] is not None
            except ValueError:
                continue
    return count


@pytest.mark.filterwarnings("default")  # of pairs without labels
def test_what_was_detected_before_a_kill_is_not_detected_again(
    edgefusion: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "evaluate"
    names = [f"{index:03}" for index in range(60)]
    folder = write_scenes(tmp_path / "drive", names, labelled=names[:50])
    bright_model(folder / "bright.onnx")
    shutil.copytree(folder / "thermal", folder / "fused")
    (folder / "classes.txt").write_text("People\nLamp\n")
    command = [str(word) for word in words(folder, "--workers", 2)]
    at = command.index("--detector")
    assert run(edgefusion, *command[:at], *command[at + 2 :])["computed"] == 60
    process = subprocess.Popen([sys.executable, "-m", "edgefusion.cli", *command], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while boxes_kept(cache) < 9 and process.poll() is None:
        assert time.monotonic() < end, "nothing is detected"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = boxes_kept(cache)
    assert 9 <= before < 150
    resumed = run(edgefusion, *command)
    assert resumed["computed"] == 150 - before
    assert run(edgefusion, *command)["computed"] == 0
    shutil.rmtree(cache)
    fresh = run(edgefusion, *command[:-3], "--workers", 1, "--json")
    assert fresh["computed"] == 150 + 10
    assert fresh["detection"] == resumed["detection"]


def test_without_a_detector_labels_are_not_read(edgefusion: Call, drive: Path) -> None:
    plain = run(edgefusion, "evaluate", "--pairs", drive, "--metrics", "EN", "--json")
    assert plain["detection"] is None


def test_a_real_detector_on_real_labels(edgefusion: Call, data: Path) -> None:
    folder = data / "pairs" / "m3fd"
    command = ["evaluate", "--pairs", folder, "--detector", data / "detectors" / "fastestdet.onnx", "--metrics", "EN"]
    found = run(edgefusion, *command, "--classes", "People,Car,Bus,Lamp,Motorcycle,Truck", "--json")["detection"]
    assert (found["images"], found["unknown_classes"]) == (4, ["Lamp"])
    scores = {name: entry["overall"]["figures"]["AP50"]["mean"] for name, entry in found["entries"].items()}
    assert 0 < scores["visible"] < scores["proxy-nano fp16"] < 0.6
