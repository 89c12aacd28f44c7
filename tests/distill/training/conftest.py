"""What a student is trained from."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an ensemble, and with the teacher and the backbones (one more than that) it was drawn with."""
    from training import draw_ensemble

    root = tmp_path_factory.mktemp("student")
    draw_ensemble(root)
    return root
