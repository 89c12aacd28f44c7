"""An Orin's deep learning accelerator. The shipped bundle has no ``dla/``: name one that does in EDGEFUSION_BUNDLE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edgefusion.core.bundle import Bundle
from edgefusion.core.devices import find_device
from edgefusion.core.dla import FOLDER
from runtime.engines.cache import BuiltEngine
from runtime.engines.trt_api import LAST_DLA, STRONG_DLA, load_tensorrt

pytestmark = pytest.mark.jetson


@pytest.fixture(autouse=True)
def dla(bundle: Bundle) -> None:
    """Skip where there is no DLA, or nothing to put on it."""
    device, version = find_device("auto"), load_tensorrt().version
    if not device.dla_cores:
        pytest.skip(f"{device.name} has no DLA")
    if LAST_DLA <= version < STRONG_DLA:
        pytest.skip(f"TensorRT {version} has no DLA")
    if not any(name.startswith(FOLDER) for name in bundle.manifest.files):
        pytest.skip(f"{bundle.path} has no dla/ (edgefusion quantize --precision int8 --dla); set EDGEFUSION_BUNDLE")


def test_convolutions_run_on_the_dla_and_compute_what_the_model_says(
    built: Callable[..., BuiltEngine], outputs: Callable[[BuiltEngine], npt.NDArray[np.float32]]
) -> None:
    engine = built("int8", dla=0)
    assert "dla" in {layer["where"] for layer in engine.facts["layers"]}
    difference = outputs(engine) - outputs(built("int8", "cpu"))
    assert -10 * np.log10(np.mean(difference**2)) > 45
