from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgefusion.core.bundle import Bundle, Precision, load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.geometry import Registration
from edgefusion.kernels.agc import AgcSpec
from edgefusion.kernels.inputs import InputPacker
from runtime.capture.simulated import SimulatedRig
from runtime.engines.base import BuildOptions
from runtime.engines.cache import BuiltEngine, build

Outputs = npt.NDArray[np.float32]
Build = Callable[..., BuiltEngine]
FRAMES = (0, 40, 80)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The shipped one, or that of EDGEFUSION_BUNDLE."""
    path = os.environ.get("EDGEFUSION_BUNDLE")
    return load_bundle(Path(path) if path else None)


@pytest.fixture(scope="module")
def built(bundle: Bundle) -> Build:
    """Builds the bundle: ``built("int8")``, ``built("int8", "cpu")``, ``built("int8", dla=0)``."""

    def call(precision: Precision, device: str = "auto", **options: int) -> BuiltEngine:
        size = bundle.manifest.layout.size_px
        target, wanted = find_device(device), BuildOptions(**options)
        return build(bundle, target, size_px=size, precision=precision, options=wanted)

    return call


@pytest.fixture(scope="module")
def inputs(bundle: Bundle) -> list[npt.NDArray[np.float32]]:
    """Three pairs of the simulated drive, packed."""
    rig = SimulatedRig(visible_size_px=bundle.manifest.layout.size_px)
    spec = AgcSpec(**bundle.manifest.agc.model_dump())
    packer = InputPacker(spec, registration=lambda *_: Registration(rig.registration), bits=14)
    return [packer.input(rig.render(number)) for number in FRAMES]


@pytest.fixture(scope="module")
def outputs(inputs: list[npt.NDArray[np.float32]]) -> Callable[[BuiltEngine], Outputs]:
    """What an engine makes of them, [3, 16, H/4, W/4]."""

    def call(engine: BuiltEngine) -> Outputs:
        loaded, made = engine.load(), []
        for x in inputs:
            loaded.x[:] = x
            loaded.execute()
            made.append(loaded.y.copy())
        return np.stack(made)

    return call
