"""Run records from files."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edgefusion.core.errors import InputError
from runtime.report.schema import RunRecord


def load(path: Path) -> RunRecord:
    """The record in a file.

    Raises:
        InputError: it is missing, not a run record, or of another schema.
    """
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path, remedy="name a run.json") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "its JSON"
        raise InputError(
            f"not a run record: {place}: {first['msg']}", where=path, remedy="record it with edgefusion run --record"
        ) from error
