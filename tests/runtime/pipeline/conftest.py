from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path("/dev/shm")  # noqa: S108


@pytest.fixture
def ring_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A ring's name that no other test has; what is left of it is removed."""
    name = f"test-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**8}"
    yield name
    for path in FOLDER.glob(f"*{name}*"):
        path.unlink()
