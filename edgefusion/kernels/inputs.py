"""Frame pairs as the student's input: one gain control and the pack kernel, as on the vehicle, in every room."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import Form, Frame, FramePair
from edgefusion.core.geometry import Matrix, Registration, Size
from edgefusion.core.rig import registered
from edgefusion.kernels.agc import Agc, AgcSpec
from edgefusion.kernels.cpu import Pack, SamplingTable, sampling_table
from edgefusion.kernels.layout import Tensor, tensor_size

RegistrationFor = Callable[[Size, Size], Registration]
"""(visible size, thermal size) -> the registration for frames of these sizes."""


class Packer(ABC):
    """Packs the frames of one rig, in order; the thermal range follows the stream. What is the same on every device.

    ``fit_forms`` comes before the first frame, and whenever a form may have changed.

    Args:
        spec: the bundle's gain control.
        registration: the rig's; by default both images show the same view.
        bits: significant bits of a Y16 thermal reading.
    """

    _pack: Any
    """The kernels for frames of ``_forms``."""

    def __init__(self, spec: AgcSpec, *, registration: RegistrationFor = registered, bits: int = 16) -> None:
        self._spec, self._registration, self._bits = spec, registration, bits
        self._forms: tuple[Form, Form] | None = None
        self._registered: tuple[Size, Size, Registration] | None = None

    def fit_forms(self, visible: Form, thermal: Form) -> bool:
        """Set the kernels up for frames of these forms; whether that changed anything.

        Raises:
            InputError: a format or size that cannot be packed.
        """
        if (visible, thermal) == self._forms:
            return False
        registration = self._registration(visible[1], thermal[1])
        self._set_up(visible, thermal, registration)
        self._registered = visible[1], thermal[1], registration
        self._agc = Agc(self._spec, thermal[0])
        self._forms = visible, thermal
        return True

    @abstractmethod
    def _set_up(self, visible: Form, thermal: Form, registration: Registration) -> None:
        """Make ``_pack``, and what goes with it."""

    def table(self, correction: Matrix) -> SamplingTable:
        """How thermal is to be sampled if the registration is off, for ``register``; from any thread, takes a while.

        Args:
            correction: [3, 3] among visible pixels; see ``Registration.corrected``.
        """
        assert self._registered is not None  # noqa: S101  # fit_forms came before
        visible, thermal, registration = self._registered
        return sampling_table(visible, thermal, registration.corrected(correction))

    def register(self, table: SamplingTable) -> None:
        """Sample thermal by this table from the next frame on, until the forms change."""
        self._pack.register(table)

    def forget(self) -> None:
        """The next frame is not of the same scene: the thermal range starts anew."""
        if self._forms:
            self._agc.reset()


class InputPacker(Packer):
    """``Packer`` on this machine's processor. ``fit`` may stand for ``fit_forms``."""

    _pack: Pack

    def _set_up(self, visible: Form, thermal: Form, registration: Registration) -> None:
        self._pack = Pack(visible, thermal, registration=registration, bits=self._bits)

    def fit(self, pair: FramePair) -> bool:
        """``fit_forms`` for the forms of a pair."""
        return self.fit_forms(pair.visible.form, pair.thermal.form)

    def pack(self, pair: FramePair, x: Tensor) -> tuple[float, float]:
        """Write a pair into ``x`` [32, H/4, W/4]; the thermal range (low, high) it was given."""
        low, high = self._agc.range(pair.thermal)
        self._pack(pair, x, low=low, high=high)
        self._agc.update(*self._pack.histogram())
        return low, high

    def pack_visible(self, frame: Frame, x: Tensor) -> None:
        """Write a visible frame alone into the luma phases ``x[:16]``."""
        self._pack.pack_visible(frame, x)

    def pack_thermal(self, frame: Frame, x: Tensor) -> tuple[float, float]:
        """Write a thermal frame alone into the thermal phases ``x[16:]``; the range (low, high) it was given."""
        low, high = self._agc.range(frame)
        self._pack.pack_thermal(frame, x, low=low, high=high)
        self._agc.update(*self._pack.histogram())
        return low, high

    def input(self, pair: FramePair) -> npt.NDArray[np.float32]:
        """A new ``x`` [32, H/4, W/4] of a pair of any form, H and W padded to multiples of four."""
        self.fit(pair)
        width, height = tensor_size(pair.visible.size_px)
        x = np.empty((32, height // 4, width // 4), np.float32)
        self.pack(pair, x)
        return x
