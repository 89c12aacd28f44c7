"""Reading run records: of runs that ended, and of those that were killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgefusion.core.errors import InputError
from edgefusion.core.mistakes import first_mistake
from runtime.journal.checks import check
from runtime.journal.compact import read_journal
from runtime.report.schema import SCHEMA, RunRecord

AGAIN = "take it from where it was recorded, or run again"


def load_record(path: Path) -> RunRecord:
    """Read ``run.json``, or the ``run.jsonl`` of a run that was killed (state "killed", with a remark).

    Raises:
        InputError: it cannot be read, is no run record, is cut off or of another schema, has figures that contradict
            each other, a clock that goes backwards, or no frame.
    """
    if _is_journal(path):
        return read_journal(path)
    text = _read(path)
    _check_schema(_parsed(text, path), path)
    try:
        record = RunRecord.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(first_mistake(error), where=path, remedy=AGAIN) from error
    check(record, path)
    return record.model_copy(update={"remarks": [*record.remarks, *_beside(path)]})


def _beside(path: Path) -> list[str]:
    """A journal is there while a run goes on, and if it was killed: it is not this record's, which is older."""
    journal = path.with_suffix(".jsonl")
    return [f"{journal.name} beside it is of a later run, which is not in this record"] if journal.exists() else []


def _is_journal(path: Path) -> bool:
    """By its first bytes, whatever its name."""
    try:
        with path.open("rb") as stream:
            return stream.read(16).startswith(b'{"kind":"header"')
    except OSError as error:
        journal = path.with_suffix(".jsonl")
        killed = journal != path and journal.exists()
        remedy = f"the run was killed or goes on: give {journal}" if killed else "record one: edgefusion run --record"
        raise InputError(f"cannot read it ({error.strerror})", where=path, remedy=remedy) from error


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("not a run record: it is no text", where=path, remedy=AGAIN) from error


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        cut_off = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
        what = "it is cut off" if cut_off else "it is not JSON"
        raise InputError(f"not a run record: {what} ({error})", where=path, remedy=AGAIN) from error


def _check_schema(raw: Any, path: Path) -> None:
    if not isinstance(raw, dict) or "schema" not in raw:
        raise InputError("not a run record: it has no schema", where=path, remedy="give what run --record wrote")
    if raw["schema"] == SCHEMA:
        return
    software = raw.get("software", raw.get("machine"))
    writer = software.get("edgefusion") if isinstance(software, dict) else None
    raise InputError(
        f"schema {raw['schema']!r}; this edgefusion reads {SCHEMA}",
        where=path,
        remedy=f"read it with edgefusion {writer}, or run again" if writer else "run again",
    )
