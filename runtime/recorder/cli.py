"""The command: parse, call, print."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from runtime.options import PATH, json_option


def _duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    from runtime.recorder.text import parse_duration

    return None if value is None else parse_duration(value)


@click.command()
@click.option("--rig", "rig_path", type=PATH, required=True, help="rig.toml of the cameras.")
@click.option("--out", type=PATH, required=True, help="MCAP file to write, such as drive.mcap.")
@click.option(
    "--duration", "duration_s", callback=_duration, metavar="TIME", help="90s, 5m, 1h30m; until Ctrl-C by default."
)
@click.option("--force", is_flag=True, help="Replace a file of that name.")
@json_option
def record(rig_path: Path, out: Path, duration_s: float | None, force: bool, as_json: bool) -> None:
    """Record both cameras of a rig, every frame as it comes, into an MCAP file. Needs no bundle.

    Ctrl-C ends it and finishes the file. A camera that is lost is opened again when it is back.
    """
    from runtime.recorder import text
    from runtime.recorder.job import RecordSettings, record

    settings = RecordSettings(rig_path, out, duration_s, force)
    with text.live_line(duration_s, hidden=as_json) as show:
        result = record(settings, show=show, say=partial(click.echo, err=True))
    click.echo(text.to_json(result) if as_json else text.describe(result))
