from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from bundles import small_bundle, small_model, write_calibration

from edgefusion.core.bundle import Bundle
from edgefusion.core.calibration import CalibrationSet

if TYPE_CHECKING:
    from quantize.int8 import Recipe
    from quantize.ranges import Inputs


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return small_bundle(tmp_path / "bundle")


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> CalibrationSet:
    folder = tmp_path_factory.mktemp("calibration")
    return write_calibration(folder / "set", small_bundle(folder / "bundle"))


@pytest.fixture(scope="session")
def frames(calibration: CalibrationSet) -> Inputs:
    return np.stack([x.astype(np.float16) for x in calibration.tensors()])


@pytest.fixture(scope="session")
def recipe(frames: Inputs) -> Recipe:
    from quantize.equalize import equalize
    from quantize.graph import parse
    from quantize.int8 import make_recipe

    return make_recipe(equalize(parse(small_model()), frames), frames, "max", seed=0)
