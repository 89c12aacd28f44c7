"""What an evaluation is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgefusion.core.bundle import Precision
from edgefusion.core.errors import UsageError
from edgefusion.core.frames import FramePair
from runtime.evaluate.measure import Measured, Plan
from runtime.evaluate.pairs import Subject
from runtime.evaluate.result import Detection, Interval, Scene, Stability, Tracking


@dataclass(frozen=True)
class EvaluateSettings:
    """What the options of ``edgefusion evaluate`` say; see its help."""

    pairs: str | None = None
    recording: Path | None = None
    visible: Path | None = None
    thermal: Path | None = None
    topics: tuple[str, str] | None = None
    simulated: bool = False
    frames: int | None = None
    fog: float = 0.0
    rig_path: Path | None = None
    split: str = "val"
    bundles: tuple[Path, ...] = ()
    precisions: tuple[Precision, ...] = ("fp16",)
    ungated: bool = False
    device_name: str = "auto"
    fused: tuple[str, ...] = ()
    baselines: bool = True
    metrics: str | None = None
    misalign: str | None = None
    degrade: tuple[str, ...] = ()
    detector: Path | None = None
    labels: Path | None = None
    classes: str | None = None
    detector_classes: str | None = None
    intersect: bool = False
    workers: int | None = None
    seed: int = 0
    csv: Path | None = None
    html: Path | None = None
    brake: int | None = None
    brake_kmh: float = 30.0
    brake_score: float = 0.5
    quiet: bool = False

    @property
    def has_source(self) -> bool:
        """Whether there are pairs or a clip to judge on."""
        return self.simulated or any(path is not None for path in (
            self.pairs, self.recording, self.visible, self.thermal,
        ))  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What was computed, before it is put together.

    Attributes:
        plan: what was asked.
        measured: the figures.
        subjects: the pairs they are of.
        source: where those are from.
        load: number of a subject -> its pictures.
        left_out: names of pairs that could not be judged.
        ap50: of a detector by (condition, entry), for the curves of sweeps.
        scene: of all of it, where that is known.
    """

    plan: Plan
    measured: Measured
    subjects: Sequence[Subject]
    source: str
    load: Callable[[int], FramePair]
    left_out: list[str] = field(default_factory=list)
    detection: Detection | None = None
    ap50: dict[tuple[int, int], Interval] = field(default_factory=dict)
    stability: Stability | None = None
    tracking: Tracking | None = None
    scene: Scene | None = None


def listed(option: str, text: str | None) -> list[str] | None:
    """The names in ``A,B,C``.

    Raises:
        UsageError: nothing between two commas.
    """
    names = None if text is None else [name.strip() for name in text.split(",")]
    if names is not None and not all(names):
        raise UsageError(f"{option} {text!r} names nothing between two commas", remedy=f"give {option} A,B,C")
    return names
