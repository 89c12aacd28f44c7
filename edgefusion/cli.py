"""The root command: which command lives in which room. No logic, and nothing loaded before it is used."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any

import click

from edgefusion.core.errors import EdgeFusionError

COMMANDS = {
    "run": ("runtime.cli:run", "Fuse what two cameras see, a recording, or the simulated rig."),
    "record": ("runtime.recorder.cli:record", "Record both cameras of a rig, every frame as it comes."),
    "build": ("runtime.cli:build", "Compile a bundle's model for this machine."),
    "estimate": ("runtime.cli:estimate", "Bound a model's speed on any device, from the model alone."),
    "evaluate": ("runtime.cli:evaluate", "Judge fused images: bundles, folders and baselines side by side."),
    "profile": ("runtime.profile.cli:profile", "Compare precisions, sizes and power modes: latency, energy, quality."),
    "report": ("runtime.cli:report", "Say what a recorded run comes to; compare runs; gates for CI."),
    "devices": ("runtime.cli:devices", "List the devices that edgefusion knows."),
    "doctor": ("runtime.cli:doctor", "Say what this machine has, and what to do about the rest."),
    "status": ("runtime.cli:status", "Say how running instances fare."),
    "rig": ("runtime.rig.cli:rig", "Check a rig.toml, try its cameras, or begin one."),
    "bundle": ("runtime.cli:bundle", "Look into a bundle, check it, pack it as one file, sign it."),
    "calibrate": ("calibrate.cli:calibrate", "Measure a rig's geometry, check it; choose calibration frames."),
    "quantize": ("quantize.cli:quantize", "Add a model of a smaller precision to a bundle."),
    "distill": ("distill.cli:distill", "Train a student and export it as a bundle."),
}
"""Command name -> where it is, and its line in the help."""


class LazyGroup(click.Group):
    """Imports a command's room when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, without importing any."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn errors into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except EdgeFusionError as error:
            if ctx.params["debug"]:
                raise
            _say(str(error))
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, OSError):
            raise
        except Exception as error:
            if ctx.params["debug"]:
                raise
            _say(f"internal error: {type(error).__name__}: {error}; please report it with the output of --debug")
            ctx.exit(EdgeFusionError.exit_code)


def _say(text: str) -> None:
    click.echo(f"edgefusion: {' '.join(text.split())}", err=True)


def _one_line_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _say(f"warning: {message}")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgefusion", prog_name="edgefusion")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """Real-time RGB + thermal image fusion for NVIDIA Jetson vehicle rigs.

    Exit codes: 2 usage, 3 this machine lacks something, 4 bad input, 5 the run failed.
    """
    if not debug:
        warnings.showwarning = _one_line_warning


if __name__ == "__main__":
    sys.exit(main())
