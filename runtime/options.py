"""Options that several commands of the runtime room share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

ungated_option = click.option("--ungated", is_flag=True, help="Take a model that passed no quality gate.")


def json_option(command: Command) -> Command:
    """Add ``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(command)


def engine_options(precision: str | None) -> Callable[[Command], Command]:
    """Add the bundle, the device, and what may be taken of the bundle.

    Args:
        precision: default of ``--precision``; None: the command has one of its own.
    """
    options = [
        click.option("--bundle", "bundle_path", type=PATH, help="Bundle, folder or .efb; the shipped one by default."),
        click.option("--device", "device_name", default="auto", show_default=True, help="See edgefusion devices."),
        ungated_option,
        click.option("--require-signature", type=PATH, metavar="KEY.pub", help="Refuse a bundle not signed by it."),
    ]
    if precision is not None:
        options[2:2] = [
            click.option(
                "--precision",
                type=click.Choice(["auto", "fp32", "fp16", "int8"]),
                default=precision,
                show_default=True,
                help="Which of the bundle's models; auto: the fastest here.",
            )
        ]

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
