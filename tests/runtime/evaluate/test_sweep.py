"""Sweeps: known amounts, the same at one seed, and curves of what they do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from numpy.typing import NDArray
from scenes import frame, write_folder

from edgefusion.core.errors import UsageError
from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.kernels.agc import AgcSpec
from runtime.evaluate.sweep import DEGRADATIONS, KINDS, Condition, parse_degrade, parse_misalign

DIGEST = "0123456789abcdef"


def pair(thermal: NDArray[np.uint8], level: int = 120) -> FramePair:
    visible = np.full((*thermal.shape, 3), level, np.uint8)
    return FramePair(frame(visible, PixelFormat.RGB24), frame(thermal, PixelFormat.GREY), "p")


def dot(x: int, y: int) -> NDArray[np.uint8]:
    image = np.zeros((101, 121), np.uint8)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def centre(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    rows, columns = np.indices(image.shape)
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


def apply(kind: str, strength: float, given: FramePair, *, seed: int = 0, digest: str = DIGEST) -> FramePair:
    return Condition(kind, strength).apply(given, AgcSpec(), seed=seed, digest=digest)


@pytest.mark.parametrize("strength", [1, 7.5, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_thermal_is_shifted_by_just_so_many_pixels(strength: float, seed: int) -> None:
    moved = apply("px", strength, pair(dot(60, 50)), seed=seed)
    assert math.dist(centre(moved.thermal.pixels), (60, 50)) == pytest.approx(strength, abs=0.05)
    assert (moved.visible.pixels == 120).all()


@pytest.mark.parametrize("degrees", [5, 20])
def test_thermal_is_turned_about_its_centre(degrees: float) -> None:
    moved = centre(apply("deg", degrees, pair(dot(100, 50))).thermal.pixels) - (60, 50)
    assert np.hypot(*moved) == pytest.approx(40, abs=0.1)
    assert abs(math.degrees(math.atan2(moved[1], moved[0]))) == pytest.approx(degrees, abs=0.1)


def test_what_is_random_depends_on_seed_and_content_and_grows_with_strength() -> None:
    def direction(strength: float, **more: object) -> NDArray[np.float64]:
        moved = centre(apply("px", strength, pair(dot(60, 50)), **more).thermal.pixels) - (60, 50)  # type: ignore[arg-type]
        return moved / strength

    assert direction(30) == pytest.approx(direction(10), abs=0.02)
    assert direction(30) != pytest.approx(direction(30, seed=1), abs=0.02)
    assert direction(30) != pytest.approx(direction(30, digest="f" * 16), abs=0.02)
    few, many = (apply("stripes", share, pair(np.full((20, 200), 9, np.uint8))).thermal.pixels for share in (0.05, 0.2))
    assert [(columns == 0).all(axis=0).sum() for columns in (few, many)] == [10, 40]
    assert ((few == 0) <= (many == 0)).all()


def test_degradations_do_what_their_units_say() -> None:
    flat = np.full((200, 300), 77, np.uint8)
    noisy = apply("noise", 10, pair(flat)).visible.pixels.astype(float)
    assert (noisy.mean(), noisy.std()) == (pytest.approx(120, abs=0.2), pytest.approx(10, rel=0.02))
    foggy = apply("fog", 0.25, pair(flat)).visible.pixels
    assert (foggy == 120 * 0.75 + 50).all()
    dark = apply("night", 4, pair(flat)).visible.pixels.astype(float)
    assert dark.mean() == pytest.approx(120 / 2 ** (4 / 2.2), rel=0.02)
    edge = pair(flat)
    edge.visible.pixels[:, 150:] = 220
    step = apply("blur", 4, edge).visible.pixels[100, :, 0].astype(float)
    slope = np.diff(step)
    spread = np.sqrt((slope * (np.arange(299) - 149) ** 2).sum() / slope.sum())
    assert spread == pytest.approx(4, rel=0.05)
    for kind in ("noise", "fog", "night", "blur"):
        assert (apply(kind, 1, pair(flat)).thermal.pixels == 77).all()


@pytest.mark.parametrize("kind", KINDS)
def test_strength_zero_changes_nothing(kind: str) -> None:
    given = pair(dot(60, 50))
    assert apply(kind, 0, given) is given


def test_sixteen_bit_thermal_is_brought_to_levels_first() -> None:
    counts = np.random.default_rng(0).integers(7000, 9000, (50, 60)).astype(np.uint16)
    given = FramePair(frame(np.zeros((50, 60, 3), np.uint8), PixelFormat.RGB24), frame(counts, PixelFormat.Y16))
    moved = apply("px", 10, given).thermal
    assert (moved.format, moved.pixels.dtype) == (PixelFormat.GREY, np.uint8)
    assert np.median(moved.pixels[moved.pixels > 0]) > 50


def test_steps_are_ranges_or_lists() -> None:
    assert parse_misalign("px=0:60:10,deg=0:20:5") == {"px": (0, 10, 20, 30, 40, 50, 60), "deg": (0, 5, 10, 15, 20)}
    assert parse_misalign("deg") == {"deg": (0, 5, 10, 15, 20)}
    assert parse_degrade(["fog=0:0.3:0.1", "blur=4,1,1", "night"]) == {
        "fog": (0, 0.1, 0.2, 0.3),
        "blur": (1, 4),
        "night": DEGRADATIONS["night"].usual,
    }


@pytest.mark.parametrize("text", ["px=a:b:c", "px=1:2", "px=0:5:-1", "px=0:1e9:1", "px=-3", "up=1", "", "px=nan"])
def test_steps_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError):
        parse_misalign(text)


def test_curves_start_at_the_table_and_judge_against_the_pairs_as_they_are(
    edgefusion: Callable[..., Result], tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "drive", ["a", "b", "c"])
    words = ["--pairs", folder, "--fused", f"stored={folder / 'thermal'}", "--metrics", "CC,SD"]
    done = edgefusion(
        "evaluate", *words, "--misalign", "px=0:8:4", "--degrade", "stripes=0,0.5", "--degrade", "fog=0.5", "--json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    table = {entry["name"]: entry["metrics"] for entry in result["entries"]}
    px, stripes, fog = result["curves"]
    assert [curve["kind"] for curve in result["curves"]] == ["px", "stripes", "fog"]
    assert (px["strengths"], stripes["strengths"], fog["strengths"]) == ([0, 4, 8], [0, 0.5], [0.5])
    assert "stored" in table
    assert "stored" not in px["entries"]
    for name, metrics in px["entries"].items():
        assert metrics["CC"][0] == table[name]["CC"]
        assert all(step["low"] <= step["mean"] <= step["high"] for step in metrics["CC"])
    assert len({json.dumps(step) for step in px["entries"]["visible"]["CC"]}) == 1
    assert px["entries"]["thermal"]["CC"][1]["mean"] < 0.7 * table["thermal"]["CC"]["mean"]
    assert stripes["entries"]["thermal"]["CC"][1]["mean"] < 0.9 * table["thermal"]["CC"]["mean"]
    assert fog["entries"]["visible"]["SD"][0]["mean"] == pytest.approx(table["visible"]["SD"]["mean"] / 2, rel=0.02)
    shown = edgefusion("evaluate", *words, "--misalign", "px=0:8:4").stdout
    assert "px: pixels that thermal is shifted" in shown
