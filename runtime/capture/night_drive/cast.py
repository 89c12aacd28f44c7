"""Collecting what moves, for one moment of a drive."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.capture.night_drive import people
from runtime.capture.night_drive.scenery import Light
from runtime.capture.night_drive.shapes import Shapes

SIGHT_M = 140.0
"""People and cars farther off are not drawn."""


@dataclass(frozen=True)
class Actor:
    """Something with a box: its class name and where it is, u across the road and Z ahead of the cameras.

    ``identity`` is its own throughout the drive.
    """

    identity: int
    label: str
    u: float
    z: float


class Cast:
    """What moves, in the frame of a vehicle at ``s``."""

    def __init__(self, s: float) -> None:
        self.s = s
        self.parts: list[Shapes] = []
        self.actors: list[Actor] = []
        self.lights: list[Light] = []

    def sees(self, s: float) -> bool:
        """Whether something at ``s`` is worth drawing."""
        return 1.5 < s - self.s < SIGHT_M

    def add(self, identity: int, label: str, shapes: Shapes, u: float, s: float, heading: float = 0.0) -> None:
        """Something with a box, drawn at the origin so far."""
        self.parts.append(shapes.placed(u, s - self.s, heading=heading, owner=len(self.actors)))
        self.actors.append(Actor(identity, label, u, s - self.s))

    def stand(self, identity: int, u: float, s: float, heading: float) -> people.Stand:
        """The place of the person who is added next."""
        self.actors.append(Actor(identity, "person", u, s - self.s))
        return people.Stand(u, s - self.s, heading, len(self.actors) - 1)
