"""Diffusion teachers: what draws the ensemble that a student is distilled from."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from edgefusion.core.errors import UsageError

TEACHERS = {
    "posterior": "distill.teachers.posterior:Posterior",
    "conditional": "distill.teachers.conditional:Conditional",
}
"""Kind -> its class. A ``prior`` draws no fused image: it is what ``posterior`` samples with."""

TRAINED = {"prior": "distill.teachers.prior:Lessons", "conditional": "distill.teachers.conditional:Lessons"}
"""Kind -> what it is trained on."""


def teacher(kind: str) -> Any:
    """The class of a kind of teacher.

    Raises:
        UsageError: no such kind.
    """
    if kind not in TEACHERS:
        raise UsageError(f"no teacher of the kind {kind!r}", remedy=f"choose from {', '.join(TEACHERS)}")
    return _get(TEACHERS[kind])


def lessons(kind: str, pairs: Any, samples: Path | None, *, crop_px: int, batch: int, seed: int) -> Any:
    """What a kind of teacher is trained on.

    Args:
        kind: ``prior`` or ``conditional``.
        pairs: the ``distill.planes.Planes`` to learn from.
        samples: for ``conditional``, the folder of posterior samples.
        crop_px: side of a crop.
        batch: crops per step over all processes.
        seed: of the whole run.

    Raises:
        UsageError: a kind that is not trained, or samples missing or not used.
    """
    if kind not in TRAINED:
        raise UsageError(f"no teacher of the kind {kind!r} is trained", remedy=f"choose from {', '.join(TRAINED)}")
    if (kind == "conditional") != (samples is not None):
        raise UsageError("--samples goes with --kind conditional, and only with it")
    place = {"samples": samples} if samples else {}
    return _get(TRAINED[kind])(pairs, **place, crop_px=crop_px, batch=batch, seed=seed)


def open_teacher(source: str, sampling: Any = None, measurement: Any = None) -> Any:
    """A teacher that draws samples, from a folder or an id of the Hub.

    A folder of a conditional teacher gives that; anything else is the prior of a posterior teacher.

    Args:
        source: a folder, or ``owner/name``.
        sampling: how samples are drawn, a ``sampling.Sampling``.
        measurement: how a posterior teacher believes the sources, a ``likelihood.Measurement``.

    Raises:
        UsageError: a measurement for a teacher that has none.
        InputError: no such folder, another network, lacking or damaged weights.
        MachineError: the Hub cannot be reached.
    """
    from distill.teachers.folder import load_teacher

    denoiser = load_teacher(source)
    kind = "conditional" if denoiser.manifest.get("kind") == "conditional" or denoiser.conditions else "posterior"
    if kind == "posterior":
        return teacher(kind)(denoiser, sampling, measurement)
    if measurement:
        raise UsageError(f"{source} measures nothing: it is {kind}", remedy="leave --measure out")
    return teacher(kind)(denoiser, sampling)


def _get(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
