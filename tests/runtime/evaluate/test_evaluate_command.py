"""``edgefusion evaluate``: what it prints and writes, and what it says of bad input."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import small_bundle
from click.testing import Result
from PIL import Image
from scenes import write_folder, write_tar
from scipy import stats

from edgefusion.core.bundle import shipped_bundle
from edgefusion.metrics.fusion import METRICS, fusion_metrics
from edgefusion.recordings.images import read_thermal, read_visible, write_png

Call = Callable[..., Result]
BASELINES = ["visible", "thermal", "mean", "max", "laplacian"]


def levels(folder: Path, name: str) -> tuple[Any, Any]:
    rgb, thermal = read_visible(folder / "visible" / name), read_thermal(folder / "thermal" / name)
    return rgb @ np.array([0.299, 0.587, 0.114]), thermal.astype(float)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("evaluate") / "drive", [f"{index:05}D" for index in range(6)])


@pytest.fixture(scope="module")
def maxima(drive: Path) -> Path:
    """The drive's pairs, fused by a plain maximum outside edgefusion; every second one stored as RGB."""
    folder = drive.parent / "maxima"
    folder.mkdir()
    for index, path in enumerate(sorted((drive / "visible").iterdir())):
        fused = np.rint(np.maximum(*levels(drive, path.name))).astype(np.uint8)
        write_png(folder / path.name, np.repeat(fused[..., None], 3, axis=2) if index % 2 else fused)
    return folder


@pytest.fixture(scope="module")
def result(edgefusion: Call, drive: Path, maxima: Path) -> dict[str, Any]:
    words = ["--pairs", drive, "--bundle", shipped_bundle(), "--fused", f"ours={maxima}"]
    done = edgefusion("evaluate", *words, "--precision", "fp32", "--precision", "fp16", "--json")
    assert done.exit_code == 0, done.output
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def entry(result: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in result["entries"] if entry["name"] == name)


def test_every_bundle_precision_folder_and_baseline_is_an_entry(result: dict[str, Any]) -> None:
    assert result["pairs"] == 6
    assert [entry["name"] for entry in result["entries"]] == ["proxy-nano fp32", "proxy-nano fp16", "ours", *BASELINES]
    for found in result["entries"]:
        assert [*found["metrics"]] == [*METRICS]
        assert all(figure["low"] <= figure["mean"] <= figure["high"] for figure in found["metrics"].values())
    assert entry(result, "proxy-nano fp32")["facts"]["compute"] == "f32"


def test_figures_are_those_of_the_metrics_on_rounded_luma(result: dict[str, Any], drive: Path) -> None:
    for pair in result["per_pair"]:
        visible, thermal = levels(drive, f"{pair['name']}.png")
        sources = {"visible": np.rint(visible), "thermal": thermal}
        for name, fused in {"max": np.maximum(visible, thermal), "visible": visible, "thermal": thermal}.items():
            assert pair["values"][name] == pytest.approx(fusion_metrics(np.rint(fused), **sources), rel=1e-4, abs=1e-9)


def test_stored_images_are_judged_like_the_same_images_made_here(result: dict[str, Any]) -> None:
    assert entry(result, "ours")["metrics"] == entry(result, "max")["metrics"]


def test_a_student_is_judged_by_the_very_luma_that_run_writes(edgefusion: Call, tmp_path: Path) -> None:
    # Of grey pictures, for there RGB holds luma without loss.
    folder = write_folder(tmp_path / "grey", ["a", "b"], size=(70, 50))
    for name in ("a", "b"):
        write_png(folder / "visible" / f"{name}.png", read_visible(folder / "visible" / f"{name}.png")[..., 0])
    fused = tmp_path / "fused"
    assert edgefusion("run", "--recording", folder, "--output", fused, "--precision", "fp32").exit_code == 0
    words = ["--pairs", folder, "--bundle", shipped_bundle(), "--precision", "fp32", "--fused", f"stored={fused}"]
    done = json.loads(edgefusion("evaluate", *words, "--no-baselines", "--json").stdout)
    assert [found["name"] for found in done["entries"]] == ["proxy-nano fp32", "stored"]
    for pair in done["per_pair"]:
        assert pair["values"]["stored"] == pytest.approx(pair["values"]["proxy-nano fp32"], rel=1e-4)


def test_ranks_tests_and_means_are_those_of_the_single_pairs(result: dict[str, Any]) -> None:
    names = [found["name"] for found in result["entries"]]
    for metric in METRICS:
        figures = np.array([[pair["values"][name][metric] for name in names] for pair in result["per_pair"]])
        means = figures.mean(axis=0)
        places = stats.rankdata(means if metric == "Nabf" else -means, method="min")
        for index, found in enumerate(result["entries"]):
            assert found["metrics"][metric]["mean"] == pytest.approx(means[index], rel=1e-12)
            assert found["ranks"][metric] == places[index]
        moved = figures[:, 0] - figures[:, 5]
        expected = stats.wilcoxon(moved).pvalue if moved.any() else 1
        assert entry(result, "mean")["against_first"][metric]["p"] == pytest.approx(expected)
    for found in result["entries"]:
        assert found["rank"] == pytest.approx(np.mean([*found["ranks"].values()]))
    assert entry(result, "proxy-nano fp32")["against_first"] == {}
    assert all(test["p"] == 1 for test in entry(result, "max")["against_best"].values() if test["against"] == "ours")


def test_day_and_night_by_name_or_by_brightness(edgefusion: Call, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mixed", ["00001D", "00002N", "street", "alley"])
    write_png(folder / "visible" / "alley.png", np.full((48, 64, 3), 20, np.uint8))
    done = json.loads(edgefusion("evaluate", "--pairs", folder, "--metrics", "EN,SD", "--json").stdout)
    assert done["scenes"] == {"day": 2, "night": 2}
    assert {pair["name"]: pair["scene"] for pair in done["per_pair"]} == {
        "00001D": "day", "00002N": "night", "street": "day", "alley": "night",
    }  # fmt: skip
    visible = entry(done, "visible")
    assert [*visible["metrics"]] == ["EN", "SD"]
    night = [pair["values"]["visible"]["EN"] for pair in done["per_pair"] if pair["scene"] == "night"]
    assert visible["scenes"]["night"]["EN"]["mean"] == pytest.approx(np.mean(night))


def test_the_table_and_the_csv(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    done = edgefusion("evaluate", "--pairs", drive, "--csv", path)
    assert done.exit_code == 0, done.output
    assert "6 pairs (6 day)" in done.stdout
    assert all(name in done.stdout for name in [*BASELINES, "proxy-nano fp16", "Nabf ↓", "rank"])
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == 6 * 6
    assert {row["entry"] for row in rows} == {"proxy-nano fp16", *BASELINES}
    assert all(float(row["MI"]) > 0 for row in rows)


def test_sixteen_bit_thermal_is_judged_through_the_gain_control(edgefusion: Call, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "counts", ["a", "b"], bits=16)
    done = json.loads(edgefusion("evaluate", "--pairs", folder, "--json").stdout)
    assert entry(done, "thermal")["metrics"]["EN"]["mean"] > 6
    assert entry(done, "thermal")["metrics"]["Nabf"]["mean"] == 0


def test_a_split_names_its_pairs_by_set(edgefusion: Call, tmp_path: Path) -> None:
    write_folder(tmp_path / "pairs" / "north", ["a", "b"])
    write_folder(tmp_path / "pairs" / "south", ["a", "c"])
    (tmp_path / "splits.json").write_text('{"val": {"north": ["a"], "south": ["a", "c"]}, "none": {}}')
    for place in ("fused/north/a.png", "fused/south/a.png", "fused/c.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        write_png(tmp_path / place, np.zeros((48, 64), np.uint8))
    words = ["evaluate", "--pairs", tmp_path, "--fused", f"zero={tmp_path / 'fused'}", "--metrics", "SD", "--json"]
    done = json.loads(edgefusion(*words).stdout)
    assert [pair["name"] for pair in done["per_pair"]] == ["north/a", "south/a", "south/c"]
    empty = edgefusion(*words, "--split", "none")
    assert (empty.exit_code, "no pair in split 'none'" in empty.stderr) == (4, True)
    unknown = edgefusion(*words, "--split", "test")
    assert (unknown.exit_code, "no split 'test'" in unknown.stderr) == (4, True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_folder(tmp_path / "good", ["a", "b"])
    (tmp_path / "fused").mkdir()
    shutil.copy(tmp_path / "good" / "thermal" / "a.png", tmp_path / "fused" / "a.png")
    write_folder(tmp_path / "many", [f"n{index:02}" for index in range(13)])
    (tmp_path / "few").mkdir()
    shutil.copy(tmp_path / "many" / "thermal" / "n12.png", tmp_path / "few" / "n12.png")
    write_folder(tmp_path / "tiny", ["a", "b"], size=(40, 40))
    write_folder(tmp_path / "unequal", ["a", "b"])
    write_png(tmp_path / "unequal" / "thermal" / "b.png", np.zeros((48, 60), np.uint8))
    (tmp_path / "empty" / "visible").mkdir(parents=True)
    (tmp_path / "empty" / "thermal").mkdir()
    write_folder(tmp_path / "cut", ["a", "b"])
    content = (tmp_path / "cut" / "visible" / "a.png").read_bytes()
    (tmp_path / "cut" / "visible" / "a.png").write_bytes(content[: len(content) // 2])
    write_folder(tmp_path / "text", ["a"])
    (tmp_path / "text" / "thermal" / "a.png").write_text("no image")
    return tmp_path


def test_a_tar_is_judged_as_the_folder_it_was_packed_from(
    edgefusion: Call, drive: Path, maxima: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = write_tar(tmp_path / "drive.tar", drive, [path.stem for path in sorted((drive / "visible").iterdir())])
    results = []
    for number, pairs in enumerate((drive, tar)):
        monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / str(number)))
        done = edgefusion("evaluate", "--pairs", pairs, "--fused", f"ours={maxima}", "--metrics", "EN,Qabf", "--json")
        assert done.exit_code == 0, done.output
        results.append(json.loads(done.stdout))
    folder, ours = results
    assert ours["computed"] == folder["computed"] > 0
    assert ours["entries"] == folder["entries"]
    assert ours["source"] == str(tar)
    first = ours["per_pair"][0]
    assert (first["name"], first["visible"]) == ("00000D", f"{tar}: 00000D.visible.png")


CASES: dict[str, tuple[Callable[[Path], list[object]], int, str]] = {
    "no such folder": (lambda p: [p / "none"], 4, "none: no such file or folder"),
    "no pairs in it": (lambda p: [p / "fused"], 4, "no visible/ in it"),
    "an empty set": (lambda p: [p / "empty"], 4, "no image"),
    "pairs of different size": (lambda p: [p / "unequal"], 4, "1 pairs have pictures of different size: b; register"),
    "too small for VIF": (lambda p: [p / "tiny"], 4, "no pair is left: 0 of different size, 2 under the 41 pixels"),
    "a truncated picture": (lambda p: [p / "cut"], 4, "a.png: not a readable image"),
    "no picture": (lambda p: [p / "text"], 4, "a.png: not a readable image"),
    "fused images missing": (
        lambda p: [p / "many", "--fused", f"x={p / 'few'}"], 4,
        "12 of 13 pairs have no fused image in 'x': n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 2 more",
    ),
    "no fused image at all": (lambda p: [p / "many", "--fused", f"x={p / 'fused'}"], 4, "has the name of a pair"),
    "no fused folder": (lambda p: [p / "good", "--fused", f"x={p / 'none'}"], 4, "no such folder of fused images"),
    "fused without a name": (lambda p: [p / "good", "--fused", p / "fused"], 2, "give NAME=DIR"),
    "one name twice": (
        lambda p: [p / "good", "--fused", f"max={p / 'good' / 'thermal'}"], 2, "several entries are called max",
    ),
    "unknown metric": (lambda p: [p / "good", "--metrics", "EN,PSNR"], 2, "unknown metric 'PSNR'; choose from EN, SD"),
    "no metric": (lambda p: [p / "good", "--metrics", ""], 2, "unknown metric ''"),
    "a precision it lacks": (
        lambda p: [p / "good", "--bundle", small_bundle(p / "b").path, "--precision", "int8"], 4, "no int8 model",
    ),
    "no bundle": (lambda p: [p / "good", "--bundle", p / "fused"], 4, "not a bundle"),
    "no folder for the CSV": (lambda p: [p / "good", "--csv", p / "x" / "y.csv"], 3, "x: no such folder"),
    "unknown sweep": (lambda p: [p / "good", "--misalign", "cm=0:5:1"], 2, "'cm'; give px or deg"),
    "steps of no form": (lambda p: [p / "good", "--misalign", "px=0:60:0"], 2, "px=0:60:0; give FIRST:LAST:STEP"),
    "unknown degradation": (lambda p: [p / "good", "--degrade", "rain"], 2, "--degrade rain; choose from night"),
    "too much of it": (lambda p: [p / "good", "--degrade", "fog=1.5"], 2, "0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_with_the_names(edgefusion: Call, place: Path, name: str) -> None:
    make, code, message = CASES[name]
    done = edgefusion("evaluate", "--pairs", *make(place))
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


@pytest.mark.filterwarnings("default")
def test_intersect_goes_on_with_what_is_complete(edgefusion: Call, place: Path) -> None:
    done = edgefusion("evaluate", "--pairs", place / "good", "--fused", f"x={place / 'fused'}", "--intersect", "--json")
    assert "left out, no fused image in 'x': b" in done.stderr
    assert [pair["name"] for pair in json.loads(done.stdout)["per_pair"]] == ["a"]
    done = edgefusion("evaluate", "--pairs", place / "unequal", "--intersect", "--json")
    assert "left out, pictures of different size: b" in done.stderr
    assert json.loads(done.stdout)["left_out"] == ["b"]


@pytest.mark.filterwarnings("default")
def test_a_pair_too_small_for_a_metric_is_named_and_left_out(edgefusion: Call, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mixed", ["a"])
    small = write_folder(tmp_path / "small", ["b"], size=(40, 40))
    for half in ("visible", "thermal"):
        shutil.copy(small / half / "b.png", folder / half / "b.png")
    done = edgefusion("evaluate", "--pairs", folder, "--json")
    assert "left out, under the 41 pixels a side that metric VIF needs: b" in done.stderr
    assert (json.loads(done.stdout)["pairs"], json.loads(done.stdout)["left_out"]) == (1, ["b"])
    without = json.loads(edgefusion("evaluate", "--pairs", folder, "--metrics", "EN,SSIM", "--json").stdout)
    assert without["pairs"] == 2


def test_two_bundles_of_one_name_are_told_apart(edgefusion: Call, drive: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(shipped_bundle(), tmp_path / name / "student")
    words = [word for name in ("first", "second") for word in ("--bundle", tmp_path / name / "student")]
    done = json.loads(edgefusion("evaluate", "--pairs", drive, *words, "--metrics", "EN", "--json").stdout)
    names = [found["name"] for found in done["entries"][:2]]
    assert names == [f"{tmp_path / name / 'student'} fp16" for name in ("first", "second")]
    assert done["entries"][1]["against_first"]["EN"]["p"] == 1


def test_help_names_every_kind_of_entry(edgefusion: Call) -> None:
    text = edgefusion("evaluate", "--help").stdout
    assert all(word in text for word in ("--bundle", "--fused", "laplacian", "--misalign", "Nabf"))


@pytest.mark.slow
def test_baselines_agree_with_the_published_comparison(edgefusion: Call, data: Path) -> None:
    peers = json.loads((data.parent / "reference" / "quality" / "peers.json").read_text())["mean"]
    done = json.loads(edgefusion("evaluate", "--pairs", data, "--json").stdout)
    assert done["pairs"] == 39
    for name in ("max", "mean"):
        means = {metric: entry(done, name)["metrics"][metric]["mean"] for metric in peers[name]}
        assert means == pytest.approx(peers[name], rel=1e-3)


def test_stored_images_may_have_a_palette(edgefusion: Call, place: Path) -> None:
    image = Image.open(place / "good" / "thermal" / "a.png")
    image.convert("P").save(place / "fused" / "a.png")
    shutil.copy(place / "good" / "thermal" / "b.png", place / "fused" / "b.png")
    words = ["--pairs", place / "good", "--fused", f"x={place / 'fused'}", "--json"]
    done = json.loads(edgefusion("evaluate", *words).stdout)
    assert entry(done, "x")["metrics"] == entry(done, "thermal")["metrics"]
