"""``edgefusion status``: how running instances fare, read through the headers of their rings."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rich.table import Table

from edgefusion.core.errors import EdgeFusionError, RunError
from runtime.tables import render

Facts = Mapping[str, Any]

FINE = ("starting", "running", "ended")
"""States of a run that are no cause for alarm; every other one says what is wrong."""

AWAY = ("lost", "reconnecting")
"""States of a camera that brings nothing."""

SILENT_S = 5.0
"""A run writes its status every second. One that has not for so long hangs, or its process was stopped."""

WATCH_S = 1.0


def collect(name: str | None = None) -> list[dict[str, Any]]:
    """What is known of every ring on this machine, or of one.

    Each has ``ring`` (its name) and ``health``: a word of ``FINE``, or what is wrong. A ring that cannot be read, and
    was not named, says why as ``problem``.

    Raises:
        EdgeFusionError: the ring that was named is not there, or cannot be read.
    """
    from edgefusion.ring.status import list_rings, read_status

    if name is not None:
        return [_facts(read_status(name))]
    return [_facts_or_problem(each, read_status) for each in list_rings()]


def exit_code(rings: Iterable[Facts]) -> int:
    """0 if every ring is fine, else that of a failed run: also where one cannot be read, for who knows how it fares."""
    return 0 if all(ring["health"] in FINE for ring in rings) else RunError.exit_code


def to_json(rings: Iterable[Facts], *, indent: int | None = 2) -> str:
    """Every ring as JSON."""
    return json.dumps({"rings": list(rings)}, indent=indent, default=str)


def describe(rings: Iterable[Facts]) -> str:
    """Every ring for people."""
    return "\n\n".join(map(_describe, rings)) or "no ring is here: nothing that runs on this machine publishes to one"


def watch(name: str | None, show: Callable[[list[dict[str, Any]]], None], *, period_s: float = WATCH_S) -> int:
    """Show the state again and again until Ctrl-C; the exit code of the last one. A named ring may come and go."""
    rings: list[dict[str, Any]] = []
    try:
        while True:
            rings = _collect_or_problem(name)
            show(rings)
            time.sleep(period_s)
    except KeyboardInterrupt:
        return exit_code(rings)


def _collect_or_problem(name: str | None) -> list[dict[str, Any]]:
    try:
        return collect(name)
    except EdgeFusionError as error:
        return [_problem(str(name), error)]


def _facts_or_problem(name: str, read: Callable[[str], Any]) -> dict[str, Any]:
    try:
        return _facts(read(name))
    except EdgeFusionError as error:
        return _problem(name, error)


def _problem(name: str, error: EdgeFusionError) -> dict[str, Any]:
    return {"ring": name, "health": "unknown", "problem": str(error)}


def _facts(found: Any) -> dict[str, Any]:
    facts = dataclasses.asdict(found)
    name, status = facts.pop("name"), facts.pop("status")
    facts["mode"] = f"{facts['mode']:04o}"
    return {"ring": name, "health": health(facts["alive"], status), **facts, **status}


def health(alive: bool, status: Facts) -> str:
    """A word of ``FINE``, or what is wrong: dead, silent, a lost camera, or the state that the run gives itself."""
    state = str(status.get("state", "running"))
    if not alive:
        return "ended" if state == "ended" else "dead"
    if time.time_ns() - status.get("at_ns", time.time_ns()) > SILENT_S * 1e9:
        return "silent"
    lost = [side for side, camera in status.get("cameras", {}).items() if camera.get("state") in AWAY]
    return f"{'_and_'.join(lost)}_lost" if state in FINE and lost else state


def _describe(ring: Facts) -> str:
    if "problem" in ring:
        return f"{ring['ring']}: {ring['problem']}"
    parts = [_headline(ring), _figures(ring)]
    if ring.get("cameras"):
        parts.append(_cameras(ring["cameras"]))
    if others := [output for output in ring.get("outputs", ()) if "readers" not in output]:
        parts.append(_rows(others, ("to", "state", "written", "dropped")))
    if ring.get("readers"):
        parts.append(_rows(ring["readers"], ("pid", "alive", "leased", "received", "missed"), first="reader"))
    return "\n".join(parts)


def _headline(ring: Facts) -> str:
    name, pid = ring["ring"], ring["pid"]
    said = {
        "dead": f"DEAD: its writer, process {pid}, is gone without ending it; the next run of this name replaces it",
        "silent": f"SILENT: process {pid} lives, but says nothing since {SILENT_S:g} s or more: stopped, or hung",
        "stuck": f"STUCK: the loop of process {pid} does not turn any more; its log has every thread's stack",
    }
    word = ring["health"] if ring["health"] in FINE else ring["health"].upper().replace("_", " ")
    state = said.get(ring["health"], f"{word}, process {pid}")
    # What a dead or silent run said of itself last is not how it fares.
    said_ns = ring.get("since_ns") if ring["health"] == ring.get("state") else None
    since = "" if said_ns is None else f", for {_duration((time.time_ns() - said_ns) / 1e9)}"
    return f"{name}: {state}{since}"


def _figures(ring: Facts) -> str:
    latency = ring.get("latency_ms") or {}
    skew = ring.get("skew_ms") or {}
    width, height = ring["size_px"]
    published = f"{ring['published']} published, {width}x{height}"
    rows = [
        ("frames", published + _figure(ring.get("fps"), ", {:.1f} per second")),
        ("latency", _milliseconds(latency) + _figure(ring.get("deadline_misses"), "; deadlines missed: {}")),
        ("skew", _milliseconds(skew)),
        ("aligned", _registration(ring.get("registration") or {})),
        ("copies", _figure(ring.get("copies_per_frame"), "{:g} per frame")),
        ("dropped", _counts(ring.get("dropped", {}), ring["starved"])),
        ("marked", _counts(ring.get("flagged", {}))),
        ("engine", " ".join(str(ring[key]) for key in ("bundle", "precision", "device") if key in ring)),
        ("ring", f"{ring['slots']} slots, mode {ring['mode']}"),
    ]
    return "\n".join(f"  {name:<9}{value}" for name, value in rows if value)


def _registration(facts: Facts) -> str:
    """How right the registration is, where it is watched."""
    if not facts:
        return ""
    off = facts.get("residual_px")
    known = "" if off is None else f", {off:.1f} px off (within {facts['uncertainty_px']:.1f})"
    corrected = f", corrected by {facts['corrected_px']:.1f} px" if facts.get("corrected_px") else ""
    untrained = ", farther off than the student was trained for" if facts.get("untrained") else ""
    return f"{facts['state']}{known}{corrected}{untrained}"


def _figure(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)


def _milliseconds(figures: Facts) -> str:
    known = [(name, figures.get(name)) for name in ("p50", "p99", "max")]
    return ", ".join(f"{name} {value:.2f} ms" for name, value in known if value is not None)


def _counts(counts: Facts, starved: int = 0) -> str:
    """Counts by cause. What found no free slot is counted by the loop and by the ring; the ring's counts."""
    both = {cause: count for cause, count in counts.items() if cause != "no free slot"}
    if starved:
        both["no free slot (readers held all)"] = starved
    return ", ".join(f"{count} {cause.replace('_', ' ')}" for cause, count in both.items() if count) or "none"


def _cameras(cameras: Mapping[str, Facts]) -> str:
    table = Table("camera", *cameras)
    for name in dict.fromkeys(name for facts in cameras.values() for name in facts if facts[name] not in ("", None)):
        table.add_row(name.replace("_", " "), *(_value(facts.get(name)) for facts in cameras.values()))
    return render(table)


def _rows(rows: Iterable[Facts], names: tuple[str, ...], first: str | None = None) -> str:
    table = Table(first or names[0], *names[1:])
    for row in rows:
        table.add_row(*(_value(row.get(name)) for name in names))
    return render(table)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {cause}" for cause, count in value.items() if count) or "none"
    if isinstance(value, (list, tuple)):
        return "x".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{number} {unit}" for number, unit in parts if number] or ["0 s"]
    return " ".join(shown[:2])
