"""What the rails of Jetson modules measure: which one is the total, and which may be added up.

Labels: NVIDIA's device trees (tegra234-p3701, -p3767; Linux arch/arm64/boot/dts/nvidia). Meaning: the Jetson Linux
Developer Guide r36.4.3, "Software-Based Power Consumption Modeling": VDD_IN is the module's input; on AGX Orin no rail
is, and "VDDQ_VDD2_1V8AO power is also included in VIN_SYS_5V0 power", so that adding it would count memory twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SCOPES = ("board input", "module input", "sum of rails", "GPU board", "package")
"""From the widest. Board input: module, carrier and what they feed. GPU board: an add-in card. Package: processor."""
ENOUGH_COVERAGE = 0.9
"""A meter that measured less of the run says nothing about its frames; what a better one missed counts at its mean."""


@dataclass(frozen=True)
class Layout:
    """What to take for the power of a machine that has these rails."""

    scope: str
    total: str | None = None
    summed: tuple[str, ...] = ()

    @property
    def total_rails(self) -> tuple[str, ...]:
        """The rails whose sum is the total, as ``Meter.total_rails`` of a record."""
        return (self.total,) if self.total else self.summed

    def fits(self, rails: Collection[str]) -> bool:
        """Whether these rails are of a machine of this layout."""
        return set(self.total_rails) <= set(rails)


LAYOUTS = (
    Layout("board input", total="VIN"),  # Thor: an INA238 on the carrier, before everything
    Layout("module input", total="VDD_IN"),  # Orin Nano, Orin NX
    Layout("sum of rails", summed=("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),  # AGX Orin
    Layout("sum of rails", summed=("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")),  # Thor on a carrier without INA238
)
UNKNOWN = Layout("rails")
"""Nobody says which of its rails lie behind which: each is reported, and nothing is added up."""


def layout_of(rails: Collection[str]) -> Layout:
    """The first layout that fits."""
    return next((layout for layout in LAYOUTS if layout.fits(rails)), UNKNOWN)
