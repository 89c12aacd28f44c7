from __future__ import annotations

import pytest
from journals import record_of

from runtime.journal.compact import compact


@pytest.fixture(scope="package")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A record of 40 s."""
    path = tmp_path_factory.mktemp("record") / "run.jsonl"
    record_of(path, seconds=40)
    compact(path)
    return path.with_suffix(".json").read_text()
