from __future__ import annotations

from pathlib import Path

import pytest
from little_disk import full_disk

from edgefusion.core.cache import machine_key
from edgefusion.core.errors import MachineError
from edgefusion.core.files import append, atomic_write


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as stream:
        stream.write(b"half of the")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="choose a writable folder"), atomic_write(tmp_path / "none" / "file"):
        pass


def test_the_machine_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = machine_key(tmp_path)
    assert len(key) == 32
    assert machine_key(tmp_path) == key
    assert (tmp_path / "machine.key").stat().st_mode & 0o777 == 0o600


def test_what_does_not_fit_on_the_disk_is_not_appended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as stream:
        end = append(stream.fileno(), b"first\n", end=0)
        with full_disk(path, room=3), pytest.raises(OSError, match="too large"):
            append(stream.fileno(), b"second\n", end=end)
        assert path.read_bytes() == b"first\n"
        assert append(stream.fileno(), b"third\n", end=end) == 12
    assert path.read_bytes() == b"first\nthird\n"
