from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import reference_definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edgefusion.core.errors import UsageError
from edgefusion.metrics import fusion
from edgefusion.metrics.fusion import METRICS, fusion_metrics

DATA = os.environ.get("EDGEFUSION_DATA")
PUBLISHED = ("EN", "SD", "SF", "AG", "MI", "SCD", "VIF", "Qabf", "SSIM", "CC")
CASES = [
    f"{scene}_{fuser}" for scene in ("msrs_00633D", "msrs_01023N", "tno_17") for fuser in ("seafusion", "mmdrfuse")
]

needs_data = pytest.mark.skipif(not DATA, reason="EDGEFUSION_DATA does not name the data folder")


def evaluator_case(case: str) -> tuple[list[NDArray[np.float64]], dict[str, float]]:
    """Read the images (fused, visible, thermal) of a case as the evaluator does, and its figures."""
    folder = Path(str(DATA)).parent / "reference" / "metrics"
    scene = case.rpartition("_")[0]
    images = [cv2.imread(str(folder / f"{name}.png")) for name in (case, f"{scene}_vi", f"{scene}_ir")]
    greys = [np.rint(cv2.cvtColor(image.astype(np.float32), cv2.COLOR_BGR2GRAY)) for image in images]
    figures = json.loads((folder / "expected.json").read_text())["cases"][case]
    return [grey.astype(np.float64) for grey in greys], {
        **figures,
        "VIF": figures["VIFF"],
        "SSIM": figures["SSIM_dr255"],
    }


@needs_data
@pytest.mark.parametrize("case", CASES)
def test_figures_match_the_evaluator(case: str) -> None:
    (fused, visible, thermal), expected = evaluator_case(case)
    ours = fusion_metrics(fused, visible=visible, thermal=thermal)
    plain = reference_definitions.all_metrics(fused, visible, thermal)
    assert {name: ours[name] for name in PUBLISHED} == pytest.approx({n: expected[n] for n in PUBLISHED}, rel=1e-5)
    assert {name: plain[name] for name in PUBLISHED} == pytest.approx({n: expected[n] for n in PUBLISHED}, rel=1e-5)
    assert ours == pytest.approx(plain, rel=1e-9)


@st.composite
def images(draw: Any, noise_levels: tuple[int, ...] = (0, 0, 3, 200)) -> list[NDArray[np.float64]]:
    """Three images of one size: blocks (edges, flat areas, constants) under noise of none, some or many levels."""
    height, width = draw(st.integers(41, 60)), draw(st.integers(41, 60))
    noise = np.random.default_rng(draw(st.integers(0, 99)))

    def image() -> NDArray[np.float64]:
        blocks = draw(arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 4))))
        large = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float64)
        amplitude = draw(st.sampled_from(noise_levels))
        # Quarters of a level: not whole, and still exact, so that equal gradients stay equal in any order of sums.
        return np.clip(np.rint(4 * (large + amplitude * noise.standard_normal((height, width)))) / 4, 0, 255)

    return [image() for _ in range(3)]


@settings(deadline=None, max_examples=60)
@given(images())
def test_figures_match_the_plain_definitions(scene: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = scene
    expected = reference_definitions.all_metrics(fused, visible, thermal)
    # Beside an edge of one level VIF asks of variances whether they exceed 1e-10, and rounding answers: see below.
    del expected["VIF"]
    ours = fusion_metrics(fused, visible=visible, thermal=thermal, names=expected)
    assert ours == pytest.approx(expected, rel=1e-8, abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(images(noise_levels=(3, 200)))
def test_vif_matches_its_plain_definition(scene: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = scene
    expected = reference_definitions.all_metrics(fused, visible, thermal)["VIF"]
    assert fusion.visual_information_fidelity(fused, visible=visible, thermal=thermal) == pytest.approx(expected, 1e-8)


@settings(deadline=None, max_examples=30)
@given(images())
def test_the_sources_are_interchangeable(scene: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = scene
    swapped = fusion_metrics(fused, visible=thermal, thermal=visible)
    assert swapped == pytest.approx(fusion_metrics(fused, visible=visible, thermal=thermal), rel=1e-12, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(images())
def test_mirroring_all_images_changes_nothing(scene: list[NDArray[np.float64]]) -> None:
    # Qabf and VIF are left out: one treats angles near the vertical unevenly, the other halves from the left.
    names = [name for name in METRICS if name not in ("Qabf", "VIF")]
    (fused, visible, thermal), mirrored = scene, [image[:, ::-1] for image in scene]
    straight = fusion_metrics(fused, visible=visible, thermal=thermal, names=names)
    assert fusion_metrics(mirrored[0], visible=mirrored[1], thermal=mirrored[2], names=names) == pytest.approx(
        straight, rel=1e-9, abs=1e-9
    )


@settings(deadline=None, max_examples=30)
@given(images())
def test_figures_stay_within_their_ranges(scene: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = scene
    scores = fusion_metrics(fused, visible=visible, thermal=thermal)
    ranges = {"EN": 8, "SD": 127.5, "MI": 2 * math.log(256), "Qabf": 1, "SSIM": 2, "Nabf": 1, "CC": 1, "SCD": 2}
    lowest = {"SSIM": -2, "CC": -1, "SCD": -2}
    for name, highest in ranges.items():
        assert lowest.get(name, 0) - 1e-12 <= scores[name] <= highest + 1e-12


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float16, np.float32])
def test_the_type_of_the_images_does_not_matter(dtype: type, textured: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = textured
    given = fusion_metrics(fused.astype(dtype), visible=visible.astype(dtype), thermal=thermal.astype(dtype))
    assert given == fusion_metrics(fused, visible=visible, thermal=thermal)


def test_views_are_read_in_place_and_left_alone(textured: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = textured
    view = np.dstack([fused, visible, thermal]).astype(np.float32)
    view.flags.writeable = False
    given = fusion_metrics(view[..., 0], visible=view[..., 1], thermal=view[..., 2])
    assert given == fusion_metrics(fused, visible=visible, thermal=thermal)


@pytest.fixture
def textured() -> list[NDArray[np.float64]]:
    random = np.random.default_rng(7)
    return [random.integers(0, 256, (48, 50)).astype(np.float64) for _ in range(3)]


def flat(level: float) -> NDArray[np.float64]:
    return np.full((45, 43), level)


def stripes() -> NDArray[np.float64]:
    return np.tile([20.0, 20.0, 220.0], (45, 15))[:, :43]


@pytest.mark.parametrize("dark", [0.0, 17.3, 255.0])
def test_a_constant_scene_has_defined_figures(dark: float) -> None:
    level = flat(dark)
    scores = fusion_metrics(level, visible=level, thermal=level, names=[name for name in METRICS if name != "Qabf"])
    nothing = dict.fromkeys(("EN", "SD", "SF", "AG", "MI", "SCD", "CC", "Nabf"), 0.0)
    assert scores == pytest.approx({**nothing, "VIF": 2.0, "SSIM": 2.0}, abs=1e-9)


@pytest.mark.parametrize(
    ("fused", "visible", "thermal", "expected"),
    [
        (flat(90), stripes(), stripes().T[:43].repeat(2, 0)[:45, :43], {"VIF": 0, "MI": 0, "CC": 0, "Nabf": 0}),
        (stripes(), flat(90), flat(0), {"VIF": 2, "MI": 0, "CC": 0, "SCD": 0}),
        (stripes(), stripes(), flat(90), {"VIF": 2, "CC": 0.5, "SCD": 1, "Nabf": 0}),
        (stripes(), stripes(), stripes(), {"VIF": 2, "SSIM": 2, "CC": 1, "SCD": 0, "Nabf": 0}),
        (stripes(), stripes() + 30, stripes() + 7.7, {"CC": 1, "SCD": 0}),
        (stripes(), 255 - stripes(), 255 - stripes(), {"VIF": 0, "CC": -1}),
        (stripes(), flat(0), flat(0), {"Qabf": 0}),
        (flat(0), flat(0), flat(0), {"Qabf": 0}),
    ],
)
def test_constant_and_equal_images(
    fused: NDArray[np.float64], visible: NDArray[np.float64], thermal: NDArray[np.float64], expected: dict[str, float]
) -> None:
    scores = fusion_metrics(fused, visible=visible, thermal=thermal)
    assert all(math.isfinite(score) for score in scores.values())
    assert {name: scores[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_entropy_of_two_equally_frequent_levels_is_one_bit() -> None:
    assert fusion.entropy([[3, 250], [250, 3]]) == 1.0


def test_entropy_rounds_to_whole_levels() -> None:
    assert fusion.entropy([[3.4, 2.6], [250.4, 249.6]]) == 1.0


def test_mutual_information_with_itself_is_its_entropy_in_nats() -> None:
    image = np.arange(64).reshape(8, 8)
    assert fusion.mutual_information(image, visible=image, thermal=image) == pytest.approx(2 * math.log(64))


def test_standard_deviation_is_over_n() -> None:
    assert fusion.standard_deviation([[10, 20], [10, 20]]) == 5.0


def test_spatial_frequency_of_a_ramp() -> None:
    across, down = np.meshgrid(3.0 * np.arange(9), 4.0 * np.arange(7))
    assert fusion.spatial_frequency(across + down) == pytest.approx(5.0)


def test_average_gradient_of_a_ramp() -> None:
    across, down = np.meshgrid(3.0 * np.arange(9), 4.0 * np.arange(7))
    assert fusion.average_gradient(across + down) == pytest.approx(5.0 / math.sqrt(2))


def step(height: float) -> NDArray[np.float64]:
    """8x8, a vertical edge in the middle: Sobel over 8 gives height / 2 in 16 of the 64 pixels, 0 elsewhere."""
    return np.repeat([[0.0, height]], 8, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize(
    ("fused", "visible", "thermal", "expected"),
    [
        # No edge in the sources: all weights are 0.001, so that 16 / 64 of the weight lies on artefacts. Strength is
        # kept by 0.9999 / (1 + e^9.5); the angle, 90 degrees from a flat source's 0, by 0.9995 / (1 + e^11).
        (step(80), step(0), step(0), 0.25 * (1 - math.sqrt(7.483e-5 * 1.6693e-5))),
        # The same on its side: the angle agrees with a flat source's and is kept by 0.9995 / (1 + e^-11).
        (step(80).T, step(0), step(0), 0.25 * (1 - math.sqrt(7.483e-5 * 0.999483))),
        # Sources half as strong as the fused edge: strength is kept by 0.9999 / 2, the angle by 0.999483; the weights
        # are 20^1.5 = 89.4427 on the 16 pixels and 0.001 on the 48 others.
        (step(80), step(40), step(40), (1 - math.sqrt(0.49995 * 0.999483)) * 89.4427 / (89.4427 + 3 * 0.001)),
        # Only one source has the edge: what the other, of weight 0.001, lost is next to nothing.
        (
            step(80),
            step(40),
            step(0),
            (16 * ((1 - math.sqrt(0.49995 * 0.999483)) * 89.4427 + (1 - math.sqrt(7.483e-5 * 1.6693e-5)) * 0.001))
            / (16 * 89.4427 + 112 * 0.001),
        ),
        # A fused edge no stronger than one source's is no artefact.
        (step(80), step(80), step(0), 0.0),
        (step(40), step(80), step(0), 0.0),
        (step(0), step(80), step(40), 0.0),
    ],
)
def test_artefacts_by_hand(
    fused: NDArray[np.float64], visible: NDArray[np.float64], thermal: NDArray[np.float64], expected: float
) -> None:
    assert fusion.fusion_artefacts(fused, visible=visible, thermal=thermal) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("MI", fusion.mutual_information),
        ("SCD", fusion.correlations_of_differences),
        ("VIF", fusion.visual_information_fidelity),
        ("Qabf", fusion.edge_preservation),
        ("SSIM", fusion.structural_similarity),
        ("Nabf", fusion.fusion_artefacts),
        ("CC", fusion.correlation),
    ],
)
def test_one_figure_of_three_images(name: str, function: Any, textured: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = textured
    together = fusion_metrics(fused, visible=visible, thermal=thermal)
    assert function(fused, visible=visible, thermal=thermal) == together[name]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("EN", fusion.entropy),
        ("SD", fusion.standard_deviation),
        ("SF", fusion.spatial_frequency),
        ("AG", fusion.average_gradient),
    ],
)
def test_one_figure_of_one_image(name: str, function: Any, textured: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = textured
    assert function(fused) == fusion_metrics(fused, visible=visible, thermal=thermal)[name]


def test_names_choose_the_figures_and_their_order(textured: list[NDArray[np.float64]]) -> None:
    fused, visible, thermal = textured
    assert list(fusion_metrics(fused, visible=visible, thermal=thermal)) == list(METRICS)
    assert list(fusion_metrics(fused, visible=visible, thermal=thermal, names=("CC", "EN"))) == ["CC", "EN"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fused": np.zeros((48, 50, 3))}, r"fused has shape \(48, 50, 3\), not \[H,W\]"),
        ({"thermal": np.zeros((0, 50))}, "thermal has shape"),
        ({"visible": np.zeros((50, 48))}, "differ in shape"),
        ({"visible": np.zeros((48, 50), complex)}, "visible has type complex128"),
        ({"thermal": np.full((48, 50), 4000, np.uint16)}, r"thermal has levels outside 0\.\.255"),
        ({"fused": np.full((48, 50), -1)}, "fused has levels outside"),
        ({"fused": np.full((48, 50), np.nan)}, "fused has levels outside"),
        ({"names": ["EN", "PSNR"]}, "unknown metric 'PSNR'; choose from EN, SD"),
        ({"names": "PSNR"}, "unknown metric 'PSNR'"),
    ],
)
def test_wrong_arguments_are_refused(
    changes: dict[str, Any], message: str, textured: list[NDArray[np.float64]]
) -> None:
    fused, visible, thermal = textured
    arguments = {"fused": fused, "visible": visible, "thermal": thermal, **changes}
    with pytest.raises(UsageError, match=message):
        fusion_metrics(arguments.pop("fused"), **arguments)


@pytest.mark.parametrize(("name", "side_px"), [("VIF", 41), ("SSIM", 7), ("SF", 2), ("AG", 2), ("Nabf", 2)])
def test_images_may_be_too_small_for_a_figure(name: str, side_px: int) -> None:
    small, enough = np.zeros((99, side_px - 1)), np.zeros((99, side_px))
    assert math.isfinite(fusion_metrics(enough, visible=enough, thermal=enough, names=[name])[name])
    with pytest.raises(UsageError, match=f"{name} needs images of at least {side_px}x{side_px} pixels"):
        fusion_metrics(small, visible=small, thermal=small, names=[name])


@pytest.mark.parametrize("name", ["EN", "SD", "MI", "SCD", "Qabf", "CC"])
def test_one_pixel_is_enough_for_the_others(name: str) -> None:
    assert math.isfinite(fusion_metrics([[9]], visible=[[8]], thermal=[[7]], names=[name])[name])
