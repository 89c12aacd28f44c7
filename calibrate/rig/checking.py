"""``edgefusion calibrate check``: how far a rig's registration is off on a recording, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from calibrate.rig import views
from calibrate.rig.targetless import estimated, lag_of, samples_of
from edgefusion.core.errors import InputError
from edgefusion.core.geometry import Matrix, Registration, Size, apply, grid, inverse
from edgefusion.core.rig import load_rig
from edgefusion.recordings.options import NamedRecording

Verdict = Literal["good", "off", "unsure"]

REGIONS = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
GRID = 9
"""Points each way at which misalignment is taken: nine in each region."""


@dataclass(frozen=True)
class CheckSettings:
    """The rig, and how much misalignment is good."""

    rig_path: Path
    limit_px: float = 3.0


@dataclass(frozen=True)
class Region:
    """A ninth of the visible image: what shows in thermal lies so far, on average, from where it should."""

    name: str
    x_px: float
    y_px: float
    length_px: float


@dataclass(frozen=True)
class Checked:
    """How good a registration is.

    Attributes:
        rig_path: the rig.
        verdict: good within the limit, off beyond it, unsure where the measurement does not tell.
        mean_px, most_px: misalignment over the image, in visible pixels.
        uncertainty_px: of that.
        limit_px: the limit.
        support: share of the image's blocks that agree with what was measured.
        regions: of the image.
        registration, measured: the rig's, and what suits the recording, for its sizes.
        sizes_px: of the visible and the thermal images.
        pairs: how many it rests on.
        rejected: name of each pair left out, and why.
        pictures: both images of some pairs, as JPEG.
    """

    rig_path: Path
    verdict: Verdict
    mean_px: float
    most_px: float
    uncertainty_px: float
    limit_px: float
    support: float
    regions: list[Region]
    registration: Registration
    measured: Registration
    sizes_px: tuple[Size, Size]
    pairs: int
    rejected: dict[str, str]
    pictures: list[tuple[bytes, bytes]]


def check_rig(named: NamedRecording, settings: CheckSettings) -> Checked:
    """Compare a rig's registration with what suits a recording.

    Raises:
        InputError: the recording shows nothing to register.
        RigError: the rig.toml is wrong.
    """
    rig = load_rig(settings.rig_path)
    samples, sizes, _ = samples_of(named, lag=lag_of(named, rig))
    registration = rig.registration_for(*sizes)
    try:
        straight = [replace(each, thermal=views.straightened(each.thermal, registration)) for each in samples]
        found = estimated(straight, registration.matrix)
    except InputError as error:
        raise error.placed(named.name) from None
    correction = inverse(registration.matrix) @ found.matrix
    moves, regions = _misalignment(correction, sizes[0])
    mean, most = float(moves.mean()), float(moves.max())
    used = [samples[index] for index in found.used]
    return Checked(
        settings.rig_path, _verdict(mean, found.uncertainty_px, settings.limit_px), mean, most, found.uncertainty_px,
        settings.limit_px, found.support, regions, registration, registration.corrected(correction), sizes,
        len(used),
        {samples[each.index].name: str(each.reason) for each in found.rejected},
        [each.pictures for each in used[:6]],
    )  # fmt: skip


def _verdict(mean_px: float, uncertainty_px: float, limit_px: float) -> Verdict:
    if uncertainty_px > limit_px:
        return "unsure"
    return "good" if mean_px <= limit_px else "off"


def _misalignment(correction: Matrix, size_px: Size) -> tuple[Matrix, list[Region]]:
    """[81] lengths over the visible image, and each region's mean."""
    points = grid(size_px, GRID)
    moves = apply(correction, points) - points
    parts = moves.reshape(3, 3, 3, 3, 2).transpose(0, 2, 1, 3, 4).reshape(9, 9, 2)
    regions = [
        Region(name, float(part[:, 0].mean()), float(part[:, 1].mean()), float(np.hypot(*part.T).mean()))
        for name, part in zip(REGIONS, parts, strict=True)
    ]
    return np.asarray(np.hypot(*moves.T)), regions
