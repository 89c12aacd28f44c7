"""What travels with a fused frame, in plain words."""

from __future__ import annotations

from edgefusion.core.frames import Flag, FusedInfo


def flag_names(flags: Flag) -> list[str]:
    """``["stale", "misregistered"]``: the same on every Python, whose ``str`` of flags differ."""
    return [flag.name.lower() for flag in Flag if flag in flags and flag.name]


def facts_of(info: FusedInfo) -> dict[str, int | float | str | bool | list[str]]:
    """The facts, to be written as JSON."""
    return {
        "frame_id": info.frame_id,
        "flags": flag_names(info.flags),
        "degraded": info.degraded,
        "thermal_age_ms": info.thermal_age_ns / 1e6,
        "visible_sequence": info.visible_sequence,
        "thermal_sequence": info.thermal_sequence,
        "timestamp_ns": info.timestamp_ns,
        "clock": info.clock,
        "name": info.name,
    }
