"""How steady every entry's clip is."""

from __future__ import annotations

import warnings

import numpy as np

from runtime.evaluate.frames import Steps
from runtime.evaluate.measure import Plan
from runtime.evaluate.result import EntryStability, Interval, Stability
from runtime.evaluate.statistics import bootstrap

GUIDE = "mean of visible and thermal"
"""Whatever either camera sees can be seen in it, be the other blinded by smoke or dark; a maximum shows only smoke
where that is bright. It is made of the sources alone: no entry's figure depends on which others are compared."""


def stability(plan: Plan, steps: Steps, *, fps: float) -> Stability | None:
    """The figures of flicker; None, with a warning, where no two frames in a row show one scene.

    Args:
        plan: what was compared.
        steps: [shown, frames - 1], NaN where the scene changes.
        fps: frames a second.
    """
    known = np.isfinite(steps).all(axis=0)
    if not known.any():
        warnings.warn("no flicker: every frame shows another scene than the one before", stacklevel=2)
        return None
    seen = steps[:, known]
    bounds = np.stack(bootstrap(seen.T, seed=plan.seed, block=plan.block), axis=-1).tolist()
    entries = {}
    for number, entry in enumerate(plan.shown):
        mean, low, high = bounds[number]
        entries[entry.name] = EntryStability(
            flicker=Interval(mean=mean, low=low, high=high),
            p95=float(np.percentile(seen[number], 95)),
            steps=[step if np.isfinite(step) else None for step in steps[number].tolist()],
        )
    return Stability(guide=GUIDE, fps=fps, entries=entries)
