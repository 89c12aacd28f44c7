"""Rings with names of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

import pytest

from edgefusion.ring import layout

_numbers = count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name that no other ring has. What killed writers leave under it is removed."""
    name = f"test-{os.getpid()}-{next(_numbers)}"
    yield name
    for path in layout.paths(name):
        path.unlink(missing_ok=True)
