"""Commands of the quantize room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgefusion.core.optional import require

_PATH = click.Path(path_type=Path)


def _share(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """``1%`` or ``0.01``."""
    try:
        share = float(value.removesuffix("%")) / (100 if value.endswith("%") else 1)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a percentage nor a number") from None
    if not 0 < share < 1:
        raise click.BadParameter(f"{value!r} is not between 0 and 100 %")
    return share


@click.command()
@click.option("--bundle", type=_PATH, required=True, help="Bundle with an fp32 model; it is extended in its place.")
@click.option("--calibration", type=_PATH, help="Set of edgefusion calibrate frames; int8 needs one.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(["fp16", "int8"]), default=["fp16"],
    show_default=True, help="May be repeated.",
)  # fmt: skip
@click.option("--max-drop", callback=_share, default="1%", show_default=True, help="Budget of every fusion metric.")
@click.option("--method", type=click.Choice(["max", "entropy"]), help="Of int8 ranges; both compared by default.")
@click.option("--holdout", help="Pairs to judge on; the calibration set's held-out frames by default.")
@click.option("--split", default="val", show_default=True, help="Of --holdout, where there is a splits.json.")
@click.option("--accept-drop", is_flag=True, help="Take what is over the budget, and write so into the manifest.")
@click.option("--dla", is_flag=True, help="With int8: also what TensorRT 10 needs to put it on a DLA.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--qat", type=_PATH, help="Student checkpoint of the bundle, to fine-tune where int8 alone is over the budget."
)
@click.option("--ensemble", type=_PATH, help="Of --qat: folder of shards, of distill ensemble.")
@click.option("--qat-steps", default=500, show_default=True, help="Of --qat.")
@click.option("--backbones", help="Of --qat: those of the ensemble, as distill finetune takes them.")
@click.option("--explain", is_flag=True, help="Print every figure and every layer.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def quantize(as_json: bool, explain: bool, **options: Any) -> None:
    """Add models of smaller precisions to a bundle, each through the quality gate (needs the [quantize] extra).

    A precision whose figures change by more than --max-drop is refused, exit code 5, and the bundle stays as it was.
    """
    require("onnx", "quantize")
    require("onnxruntime", "quantize")
    from quantize import text
    from quantize.job import QuantizeSettings
    from quantize.job import quantize as make

    bundle, made = make(QuantizeSettings(**options), say=lambda line: click.echo(line, err=True))
    click.echo(text.to_json(bundle, made) if as_json else text.describe(bundle, made, explain=explain))
