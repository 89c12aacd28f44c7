"""Putting a calibration into rig.toml: as an edit of its text, so that comments and everything else stay."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

from edgefusion.core import toml
from edgefusion.core.errors import RigError
from edgefusion.core.files import atomic_write
from edgefusion.core.geometry import Matrix, Size
from edgefusion.core.rig import examine_text

_HEADER = re.compile(r"^\s*\[\[?\s*([A-Za-z_\"'][^\]]*?)\s*\]\]?\s*(?:#.*)?$")


@dataclass(frozen=True)
class Changes:
    """What a calibration changes.

    Attributes:
        registration: [3, 3].
        calibration: of ``[calibration]``: values, and tables by name.
        time_offset_ns: of the thermal camera, where it was measured.
    """

    registration: Matrix
    calibration: Mapping[str, Any] = field(default_factory=dict)
    time_offset_ns: int | None = None


def edited(text: str, changes: Changes, *, where: Path) -> str:
    """The text of a rig.toml with the changes in it.

    Raises:
        RigError: it is written in a way that cannot be edited safely.
    """
    wanted = toml.loads(text)
    kept = {} if "baseline_m" in changes.calibration else _kept(wanted)
    calibration = {**kept, **changes.calibration}
    wanted["registration"] = [[float(_number(value)) for value in row] for row in changes.registration]
    lines = _with_registration(text.splitlines(), text, changes.registration)
    if calibration:
        wanted["calibration"] = toml.loads(_table("calibration", calibration))["calibration"]
        table = _table("calibration", calibration).splitlines()
        lines = _with_calibration(lines, _with_ruler(table, text) if kept else table)
    if changes.time_offset_ns is not None:
        wanted["thermal"]["time_offset_ns"] = changes.time_offset_ns
        lines = _with_offset(lines, changes.time_offset_ns)
    result = "\n".join(lines) + "\n"
    if _loaded(result) != wanted:
        raise RigError(
            "it is written in a way that cannot be edited safely", where=where,
            remedy="write registration, [thermal] and [calibration] as docs/rig.md has them, or give no --rig",
        )  # fmt: skip
    return result


def _loaded(text: str) -> Any:
    try:
        return toml.loads(text)
    except toml.TOMLDecodeError:
        return None


def _kept(data: Mapping[str, Any]) -> dict[str, Any]:
    """Of an earlier calibration only what was written by hand stays."""
    earlier = data.get("calibration", {})
    return {"baseline_m": earlier["baseline_m"]} if "baseline_m" in earlier else {}


def _with_registration(lines: list[str], text: str, matrix: Matrix) -> list[str]:
    first = toml.Lines(text).of(("registration",))
    rows = ["registration = [", *(f"    [{', '.join(map(_number, row))}]," for row in matrix), "]"]
    if first is None:
        return [*rows, "", *lines]
    last, depth = first - 1, 0
    for last in range(first - 1, len(lines)):
        code = lines[last].partition("#")[0]
        depth += code.count("[") - code.count("]")
        if depth == 0:
            break
    comment = lines[last].partition("]")[2].rpartition("]")[2].partition("#")
    return [*lines[: first - 1], *rows[:-1], f"]  #{comment[2]}" if comment[1] else "]", *lines[last + 1 :]]


def _with_ruler(table: list[str], text: str) -> list[str]:
    """The line of ``baseline_m``, the first one, as it was written by hand."""
    at = toml.Lines(text).of(("calibration", "baseline_m"))
    line = text.splitlines()[at - 1].strip() if at else ""
    return [table[0], line, *table[2:]] if line.startswith("baseline_m") else table


def _with_calibration(lines: list[str], table: list[str]) -> list[str]:
    """The table where the earlier one was, or at the end."""
    kept: list[str] = []
    earlier: list[str] = []
    place, inside = None, False
    for line in lines:
        if header := _HEADER.match(line):
            ours = header[1].split(".")[0].strip("\"' ") == "calibration"
            kept += _comment_at_end(earlier) if inside and not ours else []
            place = len(kept) if ours and place is None else place
            inside = ours
        (earlier if inside else kept).append(line)
    kept += _comment_at_end(earlier) if inside else []
    if place is not None:
        return [*kept[:place], *table, *([""] if kept[place:] else []), *kept[place:]]
    while kept and not kept[-1].strip():
        kept.pop()
    return [*kept, "", *table]


def _comment_at_end(lines: list[str]) -> list[str]:
    """Comments that end a table stand above the next header and may be about that."""
    first = len(lines)
    for at in reversed(range(len(lines))):
        if lines[at].lstrip().startswith("#"):
            first = at
        elif lines[at].strip():
            break
    return lines[first:]


def _with_offset(lines: list[str], offset_ns: int) -> list[str]:
    found = toml.Lines("\n".join(lines))
    at, header = found.of(("thermal", "time_offset_ns")), found.of(("thermal",))
    if at is not None and lines[at - 1].lstrip().startswith("time_offset_ns"):
        comment = lines[at - 1].partition("#")
        line = f"time_offset_ns = {offset_ns}" + (f"  #{comment[2]}" if comment[1] else "")
        return [*lines[: at - 1], line, *lines[at:]]
    place = header or 0
    return [*lines[:place], f"time_offset_ns = {offset_ns}", *lines[place:]]


def _table(name: str, values: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    parts = [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in plain.items())]
    tables = [_table(f"{name}.{key}", value) for key, value in values.items() if isinstance(value, Mapping)]
    return "\n".join(["\n".join(parts), *(f"\n{table}" for table in tables)])


def _value(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return _number(value)


def _number(value: float) -> str:
    text = f"{float(value):.10g}"
    return text if any(sign in text for sign in ".en") else f"{text}.0"


def fresh(sizes: tuple[Size, Size], formats: tuple[str, str], *, bits: int) -> str:
    """A rig.toml for a recording that has none; its registration is still to be put in."""
    (visible, thermal), deep = sizes, formats[1] != "GREY"
    return "\n".join([
        "# Written by edgefusion calibrate rig. Every field: docs/rig.md.",
        "schema = 1",
        "",
        "[visible]",
        f"size_px = [{visible[0]}, {visible[1]}]",
        f'format = "{formats[0]}"',
        "",
        "[thermal]",
        f"size_px = [{thermal[0]}, {thermal[1]}]",
        f'format = "{formats[1]}"',
        *([f"bits = {bits}"] if deep else []),
        "",
    ])  # fmt: skip


def write_rig(path: Path, text: str, *, start: Path | None) -> None:
    """Write a rig.toml, if it is one; where ``path`` is a link, what it leads to.

    Args:
        path: the place.
        text: what is written.
        start: the rig.toml that the text came of. Passwords may be in it: nobody gets to read the text who could not
            read both it and what is replaced.

    Raises:
        MachineError: the place is not writable.
        RigError: it would not be a rig; the file is as it was.
    """
    mistakes = examine_text(text).mistakes
    if mistakes:
        raise RigError(f"what was to be written is no rig: {mistakes[0]}", where=path)
    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, start) if each and each.exists()]
    with atomic_write(path.resolve(), mode=reduce(and_, modes) if modes else 0o644) as stream:
        stream.write(text.encode())
