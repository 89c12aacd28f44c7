"""Commands of the quantize room."""

from __future__ import annotations

from pathlib import Path

import click

from edgefusion.core.bundle import add_model, load_bundle
from edgefusion.core.optional import require


@click.command()
@click.option("--bundle", "path", type=click.Path(path_type=Path), required=True, help="Bundle with an fp32 model.")
@click.option("--precision", type=click.Choice(["fp16"]), default="fp16", show_default=True)
def quantize(path: Path, precision: str) -> None:
    """Add a model of a smaller precision to a bundle, made from its fp32 one (needs the [quantize] extra)."""
    require("onnx", "quantize")
    from quantize.fp16 import to_fp16

    bundle = load_bundle(path)
    model = to_fp16(bundle.model("fp32").read_bytes())
    result = add_model(bundle, "fp16", model)
    click.echo(f"{precision}: {result.model('fp16')} ({len(model)} bytes)")
