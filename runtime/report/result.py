"""What a report is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from runtime.report.compare import Comparison
from runtime.report.gates import GateResult
from runtime.report.schema import RunRecord


@dataclass(frozen=True)
class Report:
    """A run, what it was compared with, and its gates.

    Attributes:
        name: the run's file.
        record: the run.
        comparisons: other runs against it.
        gates: conditions under which it fails.
        page: where its page was asked for.
    """

    name: str
    record: RunRecord
    comparisons: list[Comparison] = field(default_factory=list)
    gates: list[GateResult] = field(default_factory=list)
    page: Path | None = None

    @property
    def failed(self) -> bool:
        """Whether any gate failed."""
        return any(gate.failed for gate in self.gates)
