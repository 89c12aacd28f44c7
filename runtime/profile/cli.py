"""The command: parse, call, print."""

from __future__ import annotations

from typing import Any

import click

from runtime.options import PATH, engine_options, json_option


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> float:
    from runtime.recorder.text import parse_duration

    return parse_duration(value)


def _axes(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    from runtime.profile.plan import parse_axes

    return parse_axes(value)


def _sizes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    from edgefusion.core.geometry import parse_size

    return tuple(map(parse_size, values))


@click.command()
@engine_options(None)
@click.option("--rig", type=PATH, help="rig.toml of cameras to run; the simulated rig, drawn beforehand, by default.")
@click.option("--duration", "duration_s", callback=_duration, default="1m", show_default=True, metavar="TIME",
              help="Of each run, after warm-up: 90s, 10m, 1h.")  # fmt: skip
@click.option("--sweep", callback=_axes, default="", metavar="AXES", help="Some of precision,power-mode,size.")
@click.option(
    "--precision", "precisions", type=click.Choice(["fp32", "fp16", "int8"]), multiple=True,
    help="Of the bundle's models; may be repeated; the fastest, or all that are swept, by default.",
)  # fmt: skip
@click.option("--size", "sizes", callback=_sizes, multiple=True, metavar="WxH",
              help="Of the simulated visible camera; may be repeated; the bundle's by default.")  # fmt: skip
@click.option("--power-mode", "power_modes", multiple=True, metavar="NAME", help="Of nvpmodel; may be repeated.")
@click.option("--allow-power-mode", is_flag=True, help="Change the machine's power mode; it is put back afterwards.")
@click.option("--fps", type=click.FloatRange(0, 1000, min_open=True),
              help="Pace the simulated rig; as fast as it goes by default.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Simulated rig: which drive.")
@click.option("--out", type=PATH, required=True, help="Folder for the records and the summary.")
@click.option("--force", is_flag=True, help="Run again what is there.")
@json_option
def profile(as_json: bool, **options: Any) -> None:
    """Run every combination of what is swept, and compare latency, energy and quality.

    Each run's record is DIR/NAME.json; DIR/summary.html has a table and charts. Ctrl-C keeps what is finished, and the
    same command goes on with the rest. Exit code 5 if a combination failed.
    """
    from edgefusion.core.errors import RunError
    from runtime.profile import text
    from runtime.profile.job import ProfileSettings
    from runtime.profile.job import profile as work

    settings = ProfileSettings(**options)
    with text.progress(hidden=as_json) as tell:
        summary = work(settings, tell=tell)
    click.echo(summary.model_dump_json(by_alias=True, indent=2) if as_json else text.describe(summary, settings.out))
    if any(row.state == "failed" for row in summary.rows):
        raise SystemExit(RunError.exit_code)
