"""Fusing one frame pair on this machine's processor."""

from __future__ import annotations

from typing import Any

from edgefusion.core.frames import Form, Frame, FramePair, Pixels
from edgefusion.core.geometry import Size
from edgefusion.kernels.cpu import Unpack
from edgefusion.kernels.inputs import InputPacker
from edgefusion.kernels.layout import Tensor
from runtime.engines.cache import build
from runtime.fusion import Fusion


class CpuFusion(Fusion):
    """See ``Fusion``. The kernels read the cameras' buffers and write the slots where they are."""

    copies = 0.0
    _packer: InputPacker

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._packer = InputPacker(self._spec, registration=self._registration, bits=self._bits)

    def pack(self, pair: FramePair) -> None:
        """See ``Fusion.pack``."""
        self._packer.pack(pair, self.engine.x)

    def execute(self) -> None:
        """See ``Fusion.execute``."""
        self.engine.execute()

    def unpack(self, visible: Frame, rgb: Pixels) -> None:
        """See ``Fusion.unpack``."""
        self._unpack(self.engine.y, visible, rgb)

    def pass_visible(self, visible: Frame, rgb: Pixels) -> None:
        """See ``Fusion.pass_visible``."""
        self._packer.pack_visible(visible, self.engine.x)
        self._unpack(self.engine.x[:16], visible, rgb)

    def pass_thermal(self, thermal: Frame, rgb: Pixels) -> None:
        """See ``Fusion.pass_thermal``."""
        self._packer.pack_thermal(thermal, self.engine.x)
        self._unpack.grey(self.engine.x[16:], rgb)

    def close(self) -> None:
        """Nothing is held."""

    def _input(self) -> Tensor:
        return self.engine.x

    def _output(self) -> Tensor:
        return self.engine.y

    def _take_engine(self, size: Size) -> None:
        """An engine for images of this size, with the weights of the one that another rig has."""
        if size in self._shared:
            self.built, first = self._shared[size]
            self.engine = first.another()
        else:
            self.built = build(self._bundle, self._device, size_px=size, precision=self._precision)
            self.engine = self.built.load()
            self._shared[size] = self.built, self.engine

    def _take_unpack(self, visible: Form) -> None:
        self._unpack = Unpack(visible)
