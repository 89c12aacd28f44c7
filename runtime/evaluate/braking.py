"""When to brake for somebody in the lane, and what becomes of it: a simulation of ours, not a measurement on a road."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
import numpy.typing as npt

from edgefusion.core.frames import FramePair, PixelFormat
from edgefusion.core.geometry import Registration
from edgefusion.kernels.agc import AgcSpec
from runtime.capture.approach import LEAD_S, Approach
from runtime.capture.simulated import THERMAL_BITS
from runtime.evaluate.result import BrakingRun
from runtime.evaluate.views import RegisteredThermal, SteadyGain

Doubles = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

Eye = Callable[[FramePair], Doubles]
"""A pair, thermal as 8 bits over the visible view -> [N, 4] boxes of people in it, pixels from the image's corner."""

STEP_S = 0.001
"""Collisions are looked for so finely."""

TOUCHING_M = 1e-6


@dataclass(frozen=True)
class Rule:
    """When a controller brakes.

    It brakes when, ``confirm_frames`` frames in a row, the foot of somebody detected lies in a corridor about the
    middle of the lane. Where a foot lies is computed from the camera's height and tilt, taking the road as flat.

    Attributes:
        least_score: of a detection that counts, one for all: a detector that is surer of one kind of images than of
            another was not made for the other. Who would choose it anew for each looks at the false brakes too.
        confirm_frames: so many in a row.
        corridor_m: its width. 4.5 m are the lane, 3.5 m, and half a metre beside it, where one step leads into it.
        horizon_s: its length, at the present speed. UN Regulation No. 152 begins its tests 4 s before the collision.
        fps: frames looked at in a second.
    """

    least_score: float = 0.5
    confirm_frames: int = 3
    corridor_m: float = 4.5
    horizon_s: float = 4.0
    fps: float = 10.0


@dataclass(frozen=True)
class Vehicle:
    """How a vehicle moves: at a constant speed, and ``reaction_s`` after a decision with a constant deceleration.

    Once it brakes it does so until it stands.

    Attributes:
        speed_mps: before it brakes.
        deceleration_mps2: 5 m/s2 is the least that UN Regulation No. 152 asks of emergency braking, and what a
            damp road gives.
        reaction_s: from the exposure of the deciding frame to the full deceleration: camera, fusion, detector,
            pressure in the brakes.
    """

    speed_mps: float = 30 / 3.6
    deceleration_mps2: float = 5.0
    reaction_s: float = 0.3

    @property
    def to_stand_m(self) -> float:
        """From the decision until it stands."""
        return self.speed_mps * self.reaction_s + self.speed_mps**2 / (2 * self.deceleration_mps2)

    def stands_s(self, decided_s: float) -> float:
        """When it stands."""
        return decided_s + self.reaction_s + self.speed_mps / self.deceleration_mps2

    def speed(self, time_s: float, decided_s: float) -> float:
        """At a time, in m/s."""
        braking_s = min(max(time_s - decided_s - self.reaction_s, 0.0), self.speed_mps / self.deceleration_mps2)
        return self.speed_mps - self.deceleration_mps2 * braking_s

    def travelled(self, time_s: npt.ArrayLike, decided_s: float) -> Doubles:
        """How far it has come at times, in metres."""
        time, begin_s = np.asarray(time_s, np.float64), decided_s + self.reaction_s
        braking_s = np.clip(time - begin_s, 0, self.speed_mps / self.deceleration_mps2)
        braked = self.speed_mps * braking_s - self.deceleration_mps2 * braking_s**2 / 2
        return np.asarray(self.speed_mps * np.minimum(time, begin_s) + braked)


def decide(
    approach: Approach, eyes: Mapping[str, Eye], *, rule: Rule | None = None, agc: AgcSpec | None = None
) -> dict[str, float]:
    """When each eye makes the vehicle brake, in seconds from the start; infinity if never before it is too late.

    Until it brakes a vehicle keeps its speed, so that all eyes look at the same frames; once it brakes it does not
    stop doing so, and nothing that it sees then matters: those frames are not rendered.

    Args:
        approach: with 16-bit thermal.
        eyes: name -> what finds people.
        rule: the controller's.
        agc: gain control of thermal.
    """
    rule, gain = rule or Rule(), SteadyGain(agc or AgcSpec(), PixelFormat.Y16, bits=THERMAL_BITS)
    registered = RegisteredThermal(Registration(approach.rig.registration), bits=THERMAL_BITS)
    streaks, decided = dict.fromkeys(eyes, 0), dict.fromkeys(eyes, inf)
    for number in range(ceil(LEAD_S * rule.fps)):
        waiting = [name for name in eyes if decided[name] == inf]
        if not waiting:
            break
        time_s = number / rule.fps
        given = approach.render(time_s, approach.speed_mps * time_s)
        low, high = gain.range(given.thermal)
        pair = registered(given, low=low, high=high)
        for name in waiting:
            seen = _in_corridor(approach, eyes[name](pair), rule, time_s)
            streaks[name] = streaks[name] + 1 if seen else 0
            decided[name] = time_s if streaks[name] >= rule.confirm_frames else inf
    return decided


def _in_corridor(approach: Approach, boxes: Doubles, rule: Rule, time_s: float) -> bool:
    """Whether the middle of any box's lower edge lies in the corridor; it counts pixels from the first one's edge."""
    feet = np.column_stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]]) - 0.5
    right, gap = approach.on_road(feet, approach.speed_mps * time_s).T
    near = gap <= rule.horizon_s * approach.speed_mps
    return bool((near & (np.abs(right) <= rule.corridor_m / 2)).any())


def outcome(approach: Approach, vehicle: Vehicle, decided_s: float) -> BrakingRun:
    """What becomes of a decision to brake: see BrakingRun.

    Args:
        approach: with its pedestrian.
        vehicle: how it moves.
        decided_s: when it was decided; infinity for never.
    """
    end_s = vehicle.stands_s(decided_s) if decided_s < inf else LEAD_S
    times = np.append(np.arange(0, end_s, STEP_S), end_s)
    gaps = approach.gap_m(times, vehicle.travelled(times, decided_s))
    inside = approach.in_path(times)
    hits = np.flatnonzero(inside & (gaps <= TOUCHING_M))
    margin, impact = float(gaps[inside].min() if inside.any() else gaps[-1]), 0.0
    if len(hits):
        impact = vehicle.speed(times[hits[0]], decided_s)
        margin = -_still_needed(vehicle, float(times[hits[0]]), decided_s)
    return BrakingRun(
        seed=approach.rig.seed,
        zone=approach.zone,
        manner=approach.manner,
        margin_m=margin,
        impact_mps=impact,
        braked_at_m=float(approach.gap_m(decided_s, vehicle.speed_mps * decided_s)) if decided_s < inf else None,
    )


def _still_needed(vehicle: Vehicle, hit_s: float, decided_s: float) -> float:
    """Metres that a vehicle would have gone on after a collision; as if decided there, if it never was."""
    if decided_s == inf:
        return vehicle.to_stand_m
    unbraked_s = max(decided_s + vehicle.reaction_s - hit_s, 0.0)
    return vehicle.speed_mps * unbraked_s + vehicle.speed(hit_s, decided_s) ** 2 / (2 * vehicle.deceleration_mps2)
