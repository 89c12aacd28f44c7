"""The commands: parse, call, print."""

from __future__ import annotations

from pathlib import Path

import click

from runtime.options import PATH, json_option


@click.group()
def rig() -> None:
    """Check a rig.toml, try its cameras, or begin one."""


@rig.command()
@click.argument("path", type=PATH, metavar="RIG")
@click.option("--open", "opened", is_flag=True, help="Open both cameras, and say what they really deliver.")
@click.option("--seconds", type=click.FloatRange(0, 3600, min_open=True), default=3.0, show_default=True,
              help="How long to watch them.")  # fmt: skip
@json_option
def check(path: Path, opened: bool, seconds: float, as_json: bool) -> None:
    """Say everything that is wrong with a rig.toml, by line and field, and how much of the view thermal covers."""
    from runtime.rig import text
    from runtime.rig.job import check_rig

    report = check_rig(path, seconds=seconds if opened else None, quiet=as_json)
    click.echo(text.to_json(report) if as_json else text.describe(report))
    if report.exit_code:
        raise SystemExit(report.exit_code)


@rig.command()
@click.option("--out", type=PATH, default=Path("rig.toml"), show_default=True, help="File to write.")
@click.option("--simulated", is_flag=True, help="For simulated cameras instead of those of this machine.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
def init(out: Path, simulated: bool, force: bool, as_json: bool) -> None:
    """Write a first rig.toml with comments, for the two V4L2 cameras that look most like visible and thermal."""
    from runtime import tables
    from runtime.rig.job import begin_rig

    facts = begin_rig(out, simulated=simulated, force=force)
    click.echo(tables.as_json(facts) if as_json else tables.facts_table(facts))
