"""What ``edgefusion quantize`` prints."""

from __future__ import annotations

import io
import json

from rich.console import Console
from rich.table import Table

from edgefusion.core.bundle import Bundle, Precision
from quantize.dla import Dla
from quantize.gate import SceneClass
from quantize.job import Made, describe_worst


def to_json(bundle: Bundle, made: dict[Precision, Made]) -> str:
    """Everything, as ``quality.json`` has it."""
    found = {precision: one.to_json() for precision, one in made.items()}
    return json.dumps({"bundle": str(bundle.path), "precisions": found}, indent=2)


def describe(bundle: Bundle, made: dict[Precision, Made], *, explain: bool) -> str:
    """A line for each precision; with ``explain`` every figure and every layer."""
    parts = [f"{bundle.path}:"]
    for precision, one in made.items():
        parts.append(_line(precision, one))
        parts += [_dla(one.dla)] if one.dla else []
        if explain:
            parts += [_figures(scenes) for scenes in one.verdict.classes]
            parts += [_layers(one)] if one.layers else []
    return "\n".join(parts)


def _line(precision: Precision, made: Made) -> str:
    verdict, count = made.verdict, len(made.verdict.holdout.pairs)
    how = "passed" if verdict.passed else "over the budget, accepted"
    kept = f"; in fp16: {', '.join(made.kept)}" if made.kept else ""
    method = f", ranges by {made.method}" if made.method else ""
    tuned = f"; {made.qat.in_words()}" if made.qat else ""
    return (
        f"{precision}: {how} on {count} pairs ({verdict.holdout.description}); PSNR to fp32 {verdict.psnr_db:.1f} dB, "
        f"lowest {verdict.lowest_psnr_db:.1f}; nearest to its budget: {describe_worst(verdict)}; "
        f"{len(made.model)} bytes{method}{kept}{tuned}"
    )


def _dla(dla: Dla) -> str:
    falling = dla.layers.on_gpu
    names = f": {', '.join(layer.node for layer in falling)}" if falling else ""
    return (
        f"dla/: model, scales of {len(dla.scales)} tensors, list of layers; {len(falling)} of {len(dla.layers.layers)} "
        f"layers fall back to the GPU{names} (by the documentation; not yet run on hardware)"
    )


def _figures(scenes: SceneClass) -> str:
    note = "" if scenes.gated else ", too few to decide"
    table = Table(title=f"{scenes.name}: {scenes.pairs} pairs{note}", title_justify="left")
    for heading in ("metric", "fp32", "here", "change", "95 % interval", "budget", ""):
        table.add_column(heading, justify="left" if heading in ("metric", "") else "right")
    for change in scenes.changes:
        form = "{:+.4f}" if change.metric == "Nabf" else "{:+.3%}"
        shown = [form.format(value) for value in (change.change, change.low, change.high, change.budget)]
        interval, budget = f"{shown[1]} to {shown[2]}", shown[3].lstrip("+")
        verdict = "within" if change.within else "over"
        table.add_row(change.metric, f"{change.fp32:.4f}", f"{change.mean:.4f}", shown[0], interval, budget, verdict)
    return _render(table)


def _layers(made: Made) -> str:
    table = Table(title="one layer in int8, the others in fp16", title_justify="left")
    for heading in ("layer", "work", "SQNR dB", "PSNR dB", "changes most", "by", "runs in"):
        table.add_column(heading, justify="left" if heading in ("layer", "changes most", "runs in") else "right")
    for layer in made.layers:
        change = f"{layer.change:+.4f}" if layer.metric == "Nabf" else f"{layer.change:+.3%}"
        precision = "fp16" if layer.name in made.kept else "int8"
        table.add_row(
            layer.name, f"{layer.share:.1%}", f"{layer.sqnr_db:.1f}", f"{layer.psnr_db:.1f}",
            layer.metric, change, precision,
        )  # fmt: skip
    return _render(table)


def _render(table: Table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=140).print(table)
    return stream.getvalue().rstrip()
