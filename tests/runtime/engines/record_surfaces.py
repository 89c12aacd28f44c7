"""``record_surfaces.py NAMES_OF WHEEL ...``: which names of TensorRT's Python API the wheel of each version knows.

The binding wheels (``pip download --no-deps tensorrt-cu12-bindings==10.3.0``) do not import without TensorRT, but
their extension's string table holds every class, method, property and enumerator. ``NAMES_OF`` is a module that does
import, such as ``tensorrt_rtx``: its names, and those below that later versions dropped, are looked for. The linker
shares endings of strings, so that a short name may be found in the end of a longer one.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import zipfile
from pathlib import Path

DROPPED = [
    "FP16", "INT8", "int8_calibrator", "IInt8EntropyCalibrator2", "IInt8Calibrator", "EXPLICIT_BATCH",
    "device_memory_size", "platform_has_fast_fp16", "platform_has_fast_int8", "AMPERE_PLUS",
    "SAME_COMPUTE_CAPABILITY", "PREFER_PRECISION_CONSTRAINTS", "OBEY_PRECISION_CONSTRAINTS", "precision",
    "set_output_type", "set_calibration_profile", "DLA", "DeviceType", "GPU", "GPU_FALLBACK",
    "read_calibration_cache", "write_calibration_cache", "get_batch_size", "get_batch", "quantization_flags",
]  # fmt: skip


def public_names(module: str) -> set[str]:
    """Names of a module and of its classes' members."""
    loaded = importlib.import_module(module)
    names = {name for name in dir(loaded) if not name.startswith("_")}
    classes = [getattr(loaded, name) for name in names if inspect.isclass(getattr(loaded, name))]
    return names | {member for each in classes for member in dir(each) if not member.startswith("_")}


def main(module: str, wheels: list[str]) -> None:
    """Print the table as JSON: for each name a digit per version, 1 where it is known."""
    tables = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            shared = [name for name in archive.namelist() if name.endswith(".so")]
            tables[re.findall(r"bindings-([\d.]+\d)", Path(wheel).name)[0]] = b"".join(map(archive.read, shared))
    names = sorted(public_names(module) | {*DROPPED})
    found = {name: "".join("01"[name.encode() + b"\0" in table] for table in tables.values()) for name in names}
    print(json.dumps({"versions": list(tables), "names": found}, indent=0))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
