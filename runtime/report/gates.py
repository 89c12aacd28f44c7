"""Gates for continuous integration: ``--fail-if "p99_ms>20"``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from edgefusion.core.errors import UsageError
from runtime.report.figures import figures
from runtime.report.numbers import short
from runtime.report.schema import RunRecord

OPERATORS = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([A-Za-z][\w.]*)\s*(<=|>=|==|<|>)\s*(\S+)\s*")


@dataclass(frozen=True)
class Gate:
    """One condition under which a run fails."""

    text: str
    name: str
    sign: str
    limit: float


@dataclass(frozen=True)
class GateResult:
    """What became of a gate; ``value`` is None where the figure was not measured, which fails."""

    gate: Gate
    value: float | None

    @property
    def failed(self) -> bool:
        """Whether the condition holds, or could not be judged."""
        return self.value is None or bool(OPERATORS[self.gate.sign](self.value, self.gate.limit))

    def __str__(self) -> str:
        found = "not measured" if self.value is None else f"{self.gate.name} is {short(self.value, 4)}"
        return f"{'FAILED' if self.failed else 'passed'}: fail if {self.gate.text}: {found}"


def parse_gate(text: str) -> Gate:
    """A gate from its text.

    Raises:
        UsageError: it is not NAME OPERATOR NUMBER.
    """
    match = _FORM.fullmatch(text)
    limit = _number(match.group(3)) if match else None
    if match is None or limit is None:
        raise UsageError(
            "not a condition", where=f"--fail-if {text!r}", remedy='write NAME, < <= > >= or ==, NUMBER: "p99_ms>20"'
        )
    return Gate(" ".join(text.split()), match.group(1), match.group(2), limit)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def judge(record: RunRecord, gates: Sequence[Gate]) -> list[GateResult]:
    """Every gate's result.

    Raises:
        UsageError: a name that no figure of this run has.
    """
    known = figures(record)
    for gate in gates:
        if gate.name not in known:
            raise UsageError(
                f"no figure is called {gate.name!r}",
                where=f"--fail-if {gate.text!r}",
                remedy=f"there are {', '.join(known)}",
            )
    return [GateResult(gate, known[gate.name]) for gate in gates]
