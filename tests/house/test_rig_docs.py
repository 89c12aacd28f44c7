"""docs/rig.md lists every field of rig.toml as the code has it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS
from edgefusion.core.rig import RING, Rig, examine_rig
from edgefusion.recordings.video import MUXERS
from runtime import sinks
from runtime.capture.base import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "rig.md").read_text()
SCHEMA = Rig.model_json_schema()
SPECIAL = {
    "registration": "3 rows of 3 numbers",
    "size_px": "[width, height]",
    "focal_px": "[x, y]",
    "centre_px": "[x, y]",
    "distortion": "[k1, k2, p1, p2, k3]",
    "rotation": "3 rows of 3 numbers",
    "translation_m": "[x, y, z]",
    "controls": "table of true/false, whole numbers or text",
}
FORMATS = {"Camera": VISIBLE_FORMATS, "ThermalCamera": THERMAL_FORMATS}


def kind(name: str, schema: dict[str, Any], part: str) -> str:
    if name in SPECIAL:
        return SPECIAL[name]
    if name == "format":
        return "one of " + ", ".join(each.value for each in FORMATS[part])
    for option in schema.get("anyOf", ()):
        if option["type"] != "null":
            return kind(name, option, part)
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    if schema["type"] == "boolean":
        return "true or false"
    if schema["type"] == "string":
        return "text" + "".join(f" such as `{json.dumps(example)}`" for example in schema.get("examples", ()))
    limits = [
        f"{word} {schema[key]:g}"
        for key, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "up to"))
        if key in schema
    ]
    return " ".join(["whole number" if schema["type"] == "integer" else "number", *limits])


def default(name: str, schema: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    value = schema.get("default", {})
    return "none" if value is None else f"`{json.dumps(value)}`"


def rows(part: str, without: str = "") -> dict[str, tuple[str, str]]:
    """Field -> type and default, of a table; fields of another one left out."""
    schema = SCHEMA if part == "Rig" else SCHEMA["$defs"][part]
    left_out = SCHEMA["$defs"][without]["properties"] if without else {}
    return {
        name: (kind(name, each, part), default(name, each, schema.get("required", [])))
        for name, each in schema["properties"].items()
        if name not in left_out
        and not re.search(r"/(Camera|ThermalCamera|Policy|Drift|Output|Calibration|Lens)\b", json.dumps(each))
    }


def documented(heading: str) -> dict[str, tuple[str, str, str]]:
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n#")[0]
    found = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    return {name: (kind, default, meaning) for name, kind, default, meaning in found}


@pytest.mark.parametrize(
    ("heading", "part", "without"),
    [
        ("The rig", "Rig", ""),
        ("`[visible]` and `[thermal]`", "Camera", ""),
        ("`[thermal]` only", "ThermalCamera", "Camera"),
        ("`[policy]`", "Policy", ""),
        ("`[drift]`", "Drift", ""),
        ("`[[output]]`", "Output", ""),
        ("`[calibration]`", "Calibration", ""),
        ("`[calibration.visible]` and `[calibration.thermal]`", "Lens", ""),
    ],
)
def test_every_field_is_documented_as_it_is(heading: str, part: str, without: str) -> None:
    expected, found = rows(part, without), documented(heading)
    if part == "Camera":
        expected["format"] = (
            f"{kind('format', {}, 'Camera')}; thermal: {kind('format', {}, 'ThermalCamera')}",
            "required",
        )
    assert {name: (kind, default) for name, (kind, default, _) in found.items()} == expected
    assert list(found) == list(expected)
    assert all(meaning.strip() for _, _, meaning in found.values())


def test_the_rig_of_the_page_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(PAGE.partition("```toml\n")[2].partition("```")[0])
    assert examine_rig(path).mistakes == ()


def test_every_kind_of_camera_is_documented() -> None:
    section = PAGE.partition("## Cameras\n")[2].partition("\n## ")[0]
    for name in KINDS:
        assert f"`{name}:" in section or name in ("v4l2", "rtsp"), name
    assert "`/dev/video0`" in section
    assert "`rtsp://" in section


def test_every_output_is_documented() -> None:
    section = PAGE.partition("## Outputs\n")[2].partition("\n## ")[0]
    for kind in (RING, *(f"{name}:" for name in sinks.KINDS)):
        assert f"| `{kind}" in section, kind
    rows = " ".join(line for line in section.splitlines() if line.startswith("| "))
    assert set(re.findall(r"\.\w+(?=[`,)])", rows)) - {".rrd"} == {*MUXERS, *sinks.FILES}
