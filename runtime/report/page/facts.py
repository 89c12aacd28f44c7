"""The page's tables: plain words for what a record holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.report.figures import throttles, unpaced
from runtime.report.numbers import NONE, duration, percent, plural, short, whole
from runtime.report.schema import Meter, RunRecord

MEANINGS = {
    "late": "came, or was ready, after its time: the oldest is dropped, never queued",
    "no free slot": "readers held every slot of the ring",
    "stale": "thermal older than the tolerance allows: the last frame was held, or the shutter was closed",
    "thermal_lost": "no thermal: the visible image passed through",
    "visible_lost": "no visible: the thermal image as grey",
    "misregistered": "the registration drifted beyond its budget: the visible image passed through",
}
LAYER_COLUMNS = ("name", "kind", "precision", "where", "share")


@dataclass(frozen=True)
class Rows:
    """A table."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class EnergyTable:
    """Rails of every meter, and what of the energy goes to which stage."""

    meters: list[tuple[Meter, Rows, str]]
    frame: Rows | None
    stages: Rows | None


def facts(record: RunRecord) -> list[tuple[str, str]]:
    """What ran, in pairs of a word and its value."""
    engine, paced = record.engine, record.paced_fps
    return [
        ("started", record.started),
        ("measured", f"{duration(record.seconds)} after {short(record.warm_up_s)} s of warm-up"),
        ("device", _known(record.software.module, engine.device)),
        ("power mode", record.software.power_mode or "unknown"),
        ("engine", f"{engine.backend}, {engine.precision}, computing in {engine.compute}"),
        ("student", f"{record.student} ({record.bundle})"),
        ("size", f"{record.width}x{record.height}"),
        ("pace", f"{short(paced)} fps" if paced else unpaced(record)),
        ("rig", record.rig),
        ("source", record.source),
        ("outputs", ", ".join(record.outputs) or "none"),
    ]


def _known(name: str | None, device: str) -> str:
    return f"{name} ({device})" if name else device


def causes(record: RunRecord) -> Rows | None:
    """Why frames were dropped or flagged; None where none was."""
    counts = record.counts
    moments = counts.published + sum(counts.dropped.values())
    rows = [
        [kind, name.replace("_", " "), whole(count), percent(count / moments) if moments else NONE, _meaning(name)]
        for kind, found in (("dropped", counts.dropped), ("flagged", counts.flagged))
        for name, count in found.items()
        if count
    ]
    return Rows(("", "cause", "frames", "share", "meaning"), rows) if rows else None


def _meaning(name: str) -> str:
    return MEANINGS.get(name) or next((text for word, text in MEANINGS.items() if name.endswith(word)), "")


def cameras(record: RunRecord) -> Rows | None:
    """A column for each camera, a row for each fact; None where there is no camera."""
    found = {name: _flat(facts) for name, facts in record.counts.cameras.items()}
    if not found:
        return None
    names = dict.fromkeys(fact for facts in found.values() for fact in facts)
    rows = [[name.replace("_", " "), *(facts.get(name, NONE) for facts in found.values())] for name in names]
    return Rows(("", *found), rows)


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name} ")
        else:
            found[f"{prefix}{name}"] = _word(value)
    return found


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_word, value)) or "none"
    return NONE if value is None else short(value, 4) if isinstance(value, float) else str(value)


def energy_rows(record: RunRecord) -> EnergyTable | None:
    """Rails and costs; None where nothing was measured."""
    if not record.meters:
        return None
    return EnergyTable(
        [(meter, _rails(meter), _told(meter)) for meter in record.meters], _frame(record), _stages(record)
    )


def _rails(meter: Meter) -> Rows:
    rows = [
        [_role(rail.name, meter), *(short(mw / 1e3) for mw in (rail.mean_mw, rail.min_mw, rail.max_mw)),
         NONE if rail.idle_mw is None else short(rail.idle_mw / 1e3), short(rail.joules)]
        for rail in meter.rails
    ]  # fmt: skip
    if meter.total is None and meter.joules is not None:
        rows.append([f"sum of {len(meter.summed)} rails", NONE, NONE, NONE, _watts(meter.idle_mw), short(meter.joules)])
    return Rows(("rail", "mean, W", "lowest, W", "highest, W", "idle, W", "energy, J"), rows)


def _watts(mw: float | None) -> str:
    return NONE if mw is None else short(mw / 1e3)


def _role(name: str, meter: Meter) -> str:
    return f"{name} (total)" if name == meter.total else name


def _told(meter: Meter) -> str:
    total = f"total: {meter.total}, the {meter.scope}" if meter.total else f"no rail is the total; {meter.scope}"
    return (
        f"{total}; read every {short(meter.interval_ms)} ms, {plural(meter.samples, 'sample')}, "
        f"{whole(meter.missed)} missed, readings span {percent(meter.coverage, 3)} of the run"
    )


def _frame(record: RunRecord) -> Rows | None:
    energy = record.energy
    if energy is None:
        return None
    interval = (
        f"{short(energy.interval_mj[0])} to {short(energy.interval_mj[1])}" if energy.interval_mj else "not known"
    )
    net = "idle not measured" if energy.net_mj is None else short(energy.net_mj)
    rows = [
        ["gross, mJ per frame", short(energy.gross_mj)],
        ["95 % interval of gross", interval],
        ["above idle, mJ per frame", net],
        ["frames per second and watt", short(energy.fps_per_w)],
        ["frames", whole(energy.frames)],
        ["scope", f"{energy.scope}, by {energy.meter}"],
    ]
    return Rows(("energy of a frame", ""), rows)


def _stages(record: RunRecord) -> Rows | None:
    shares = record.energy.stages_mj if record.energy else {}
    total = sum(shares.values())
    rows = [[name, short(mj), percent(mj / total) if total else NONE] for name, mj in shares.items()]
    return Rows(("stage (estimate by time share)", "mJ per frame", "share"), rows) if rows else None


def quality(record: RunRecord) -> list[tuple[str, str]]:
    """The bundle's figures of this precision, in pairs of a name and a value."""
    return [(name.replace("_", " "), value) for name, value in _flat(record.quality).items()]


def layers(record: RunRecord) -> Rows | None:
    """The engine's layers; None where its backend does not tell."""
    found = record.engine.layers
    if not found:
        return None
    names = [name for name in LAYER_COLUMNS if any(name in layer for layer in found)]
    return Rows(names, [[_layer(layer.get(name), name) for name in names] for layer in found])


def _layer(value: Any, name: str) -> str:
    return percent(value) if name == "share" and isinstance(value, (int, float)) else _word(value)


def machine(record: RunRecord) -> Rows:
    """What it ran on, with which versions."""
    software, engine = record.software, record.engine
    rows: list[tuple[str, str | None]] = [
        ("module", software.module), ("processor", software.processor), ("system", software.system),
        ("JetPack", software.jetpack), ("L4T", software.l4t), ("driver", software.driver), ("CUDA", software.cuda),
        (engine.backend, software.backend_version), ("SM", engine.sm), ("engine", engine.key),
        ("power mode", software.power_mode),
        ("throttle counters", ", ".join(throttles(record) or {}) or "none"),
        *((f"governor of {name}", value) for name, value in software.governors.items()),
        ("edgefusion", software.edgefusion), ("Python", software.python),
    ]  # fmt: skip
    return Rows(("", ""), [[name, value or "unknown"] for name, value in rows])
