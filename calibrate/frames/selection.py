"""From what was seen to what is chosen, or to an error that says why there is not enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibrate.frames.choice import START, Choice, Chooser, spread_evenly
from calibrate.frames.descriptor import GROUPS, LUMA
from calibrate.frames.strata import Floats, Row, coverage, lacks
from calibrate.frames.survey import Candidate, Survey
from edgefusion.core.errors import InputError
from edgefusion.core.frames import light_of


@dataclass(frozen=True)
class Wish:
    """What is asked for: frames to calibrate on, of the holdout, and the seed of the draws."""

    count: int = 256
    holdout_count: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Selection:
    """What the choice came to.

    Attributes:
        survey: what there was to choose from.
        choices: frames of ``survey.training``, best first.
        holdout: frames of ``survey.holdout``, in order.
        near_duplicates: frames that are too much like a chosen one.
    """

    survey: Survey
    choices: list[Choice]
    holdout: list[Candidate]
    near_duplicates: int

    @property
    def training(self) -> list[Candidate]:
        """The frames to calibrate on, best first."""
        return [self.survey.training[choice.index] for choice in self.choices]

    @property
    def rows(self) -> list[Row]:
        """How well each stratum is covered."""
        chosen = [choice.index for choice in self.choices]
        training, holdout = descriptors(self.survey.training), descriptors(self.holdout)
        return coverage(training, chosen, holdout, stills=self.survey.stills)

    @property
    def lacks(self) -> list[str]:
        """What the recordings do not have, in words."""
        return lacks(self.rows, stills=self.survey.stills)

    @property
    def seen(self) -> dict[str, int]:
        """How many frames there were, and where they went; all but the first figure add up to the first."""
        spare = len(self.survey.training) - len(self.choices) - self.near_duplicates
        counts = {
            **_by_reason(self.survey.seen),
            "near-duplicates": self.near_duplicates,
            "not needed": spare + len(self.survey.holdout) - len(self.holdout),
            "chosen": len(self.choices),
            "holdout": len(self.holdout),
        }
        return {"frames": self.survey.seen["frames"], **counts}


def descriptors(candidates: Sequence[Candidate]) -> Floats:
    """[N, 104] of N candidates."""
    if not candidates:
        return np.empty((0, GROUPS["thermal scene"].stop), np.float32)
    return np.stack([candidate.descriptor for candidate in candidates])


def select(found: Survey, wish: Wish, *, where: str) -> Selection:
    """Choose among what was found.

    Args:
        found: what there is.
        wish: how much of it.
        where: the recordings' names, for errors.

    Raises:
        InputError: there is not enough of it.
    """
    if not found.seen["frames"]:
        raise InputError("no frame in it", where=where, remedy="record again")
    choices, alike = _choose(found, wish)
    if len(choices) < wish.count:
        raise _too_few(found, wish, len(choices), alike, where)
    if len(found.holdout) < wish.holdout_count:
        raise InputError(
            f"only {len(found.holdout)} frames for a holdout of {wish.holdout_count}: it is a fifth of each recording",
            where=where,
            remedy=f"--holdout-count {max(len(found.holdout), 1)}, or record more",
        )
    held = [found.holdout[place] for place in spread_evenly(wish.holdout_count, len(found.holdout))]
    return Selection(found, choices, held, alike)


def _choose(found: Survey, wish: Wish) -> tuple[list[Choice], int]:
    if not found.training:
        return [], 0
    points = descriptors(found.training)
    chooser = Chooser(points, [light_of(float(luma)) for luma in points[:, LUMA]])
    return chooser.choose(wish.count, seed=wish.seed), chooser.near_duplicates


def _too_few(found: Survey, wish: Wish, usable: int, alike: int, where: str) -> InputError:
    counts = {**_by_reason(found.seen), "near-duplicates": alike, "kept for the holdout": len(found.holdout)}
    left_out = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
    frames = found.seen["frames"]
    if usable <= 1 < frames:
        return InputError(
            f"all {frames} frames are alike or of no use ({left_out})",
            where=where,
            remedy="check both cameras, and record while the scene changes",
        )
    return InputError(
        f"only {usable} of {frames} frames can be used, not {wish.count} ({left_out})",
        where=where,
        remedy=f"--count {max(usable, 1)}, or record more",
    )


def _by_reason(seen: Counter[str]) -> dict[str, int]:
    return {reason: seen[reason] for reason in sorted(seen) if reason != "frames"}


def reason_of(choice: Choice, *, seed: int) -> str:
    """Why a frame was chosen, in words."""
    if choice.group == START:
        return f"the first, drawn by seed {seed}"
    return f"differs from all before it, most in {choice.group} (distance {choice.distance:.2f})"
