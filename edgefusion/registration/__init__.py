"""Estimating the map between the two cameras: ``estimate`` from many pairs, ``residual`` from one while driving."""

from edgefusion.registration.coarse import Search
from edgefusion.registration.estimate import Estimate, estimate
from edgefusion.registration.projective import Mapping, Model
from edgefusion.registration.refusals import Rejected
from edgefusion.registration.residual import Residual, residual
from edgefusion.registration.windows import Windows, windows

__all__ = [
    "Estimate", "Mapping", "Model", "Rejected", "Residual", "Search", "Windows", "estimate", "residual", "windows",
]  # fmt: skip
