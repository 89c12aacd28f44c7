"""The GPU's kernels: what they compute in numba's simulator, and that they compile for the Jetsons."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_kernels as reference
from gpu_in_simulator import CASES, Case

from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS

SUPPORT = Path(__file__).parents[2] / "support"
TOLERANCE = {"float16": 6e-4, "float32": 1e-5}

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def support(script: str, *words: object, **variables: str) -> None:
    """Run a script of tests/support in a process of its own."""
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *sys.path])}
    command = [sys.executable, "-W", "error", SUPPORT / script, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What the kernels made in the simulator, by case and name."""
    out = tmp_path_factory.mktemp("simulator") / "made.npz"
    support("gpu_in_simulator.py", out, NUMBA_ENABLE_CUDASIM="1")
    with np.load(out) as arrays:
        return dict(arrays)


def test_every_format_is_among_the_cases_warped_and_registered() -> None:
    assert {case.visible for case in CASES} == set(VISIBLE_FORMATS)
    pairs = {(case.thermal, case.warped) for case in CASES}
    assert pairs == {(thermal, warped) for thermal in THERMAL_FORMATS for warped in (False, True)}


@cases
def test_pack_makes_the_tensor_of_the_reference(made: dict[str, np.ndarray], case: Case) -> None:
    x, tolerance = made[f"{case.name}.x"], TOLERANCE[case.dtype]
    luma, _, _ = reference.luma_and_chroma(case.pair.visible.pixels, case.visible)
    np.testing.assert_allclose(x[:16], reference.unshuffle(luma), atol=tolerance)
    wrong = np.abs(x[16:] - expected_thermal(case)) > (8e-3 if case.warped else tolerance)
    # positions are kept to 1/256 pixel, and a point within that of the edge may fall on either side of it
    assert wrong.sum() <= 0.02 * wrong.size


def expected_thermal(case: Case) -> np.ndarray:
    (low, high), readings = case.range, reference.readings(case.pair.thermal.pixels, case.thermal)
    registration, size = case.registration, case.sizes[0]
    pixels = np.stack(np.meshgrid(*map(np.arange, size)), -1).reshape(-1, 2)
    bend = registration.bend.at(pixels) if registration.bend else None
    values, inside = reference.warp(readings, registration.matrix, size, bend)
    return reference.unshuffle(np.where(inside, np.clip((values - low) / (high - low), 0, 1), 0))


@cases
def test_the_histogram_counts_every_reading_once_and_is_taken_once(made: dict[str, np.ndarray], case: Case) -> None:
    histogram = made[f"{case.name}.histogram"]
    readings = reference.readings(case.pair.thermal.pixels, case.thermal).reshape(-1).astype(int)
    expected = np.bincount(readings, minlength=2**14) if case.thermal.deep else []
    np.testing.assert_array_equal(histogram, expected)
    assert not made[f"{case.name}.again"].any()


@cases
def test_each_half_of_the_tensor_can_be_written_alone(made: dict[str, np.ndarray], case: Case) -> None:
    both, visible, thermal = (made[f"{case.name}.{name}"] for name in ("x", "visible", "thermal"))
    np.testing.assert_array_equal(visible[:16], both[:16])
    assert (visible[16:] == -1).all()
    np.testing.assert_array_equal(thermal[16:], both[16:])
    assert (thermal[:16] == -1).all()


@cases
def test_unpack_merges_fused_luma_with_visible_chroma(made: dict[str, np.ndarray], case: Case) -> None:
    width, height = case.sizes[0]
    luma = reference.shuffle(case.fused_luma.astype(float))[:height, :width]
    _, cb, cr = reference.luma_and_chroma(case.pair.visible.pixels, case.visible)
    out = made[f"{case.name}.rgb"].reshape(height, width, 3)
    assert np.abs(out - reference.rgb(luma, cb, cr)).max() <= 0.51
    grey = made[f"{case.name}.grey"].reshape(height, width, 3)
    assert np.abs(grey - luma[..., None] * 255).max() <= 0.51


@pytest.mark.parametrize("capability", ["8.7", "11.0"], ids=["Orin", "Thor"])
def test_the_kernels_compile_for_the_jetsons_without_64_bit_floats(tmp_path: Path, capability: str) -> None:
    support("gpu_compiled.py", capability, tmp_path, NUMBA_ENABLE_CUDASIM="0")
    compiled = sorted(path.name for path in tmp_path.glob("*.ptx"))
    assert compiled == sorted(f"{name}.ptx" for name in ("stage", "take", "pack16", "pack32", "unpack16", "unpack32"))
    for ptx in tmp_path.glob("*.ptx"):
        text = ptx.read_text()
        assert f".target sm_{capability.replace('.', '')}" in text
        assert not re.findall(r"\.f64\b", text), ptx.name
        assert ptx.with_suffix(".cubin").read_bytes()[:4] == b"\x7fELF"
