"""Where this machine keeps what it made for itself, and the key that marks it as its own."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from edgefusion.core.errors import MachineError

KEY_BYTES = 32


def cache_folder() -> Path:
    """``EDGEFUSION_CACHE``, else edgefusion's folder in the user's XDG cache.

    Raises:
        MachineError: it cannot be made.
    """
    folder = Path(os.environ.get("EDGEFUSION_CACHE") or platformdirs.user_cache_dir("edgefusion"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(
            f"cannot make the cache folder ({error.strerror})", where=folder, remedy="set EDGEFUSION_CACHE"
        ) from error
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time for ``path``, which need not exist; its folder is made.

    Raises:
        MachineError: that folder is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = open(path.parent / f".{path.name}.lock", "w")  # noqa: SIM115  # closed below
    except OSError as error:
        raise MachineError(f"cannot write ({error.strerror})", where=path, remedy="set EDGEFUSION_CACHE") from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def machine_key(folder: Path) -> bytes:
    """This machine's secret, made on first use with mode 0600.

    Raises:
        MachineError: it cannot be written, or is not a key.
    """
    path = folder / "machine.key"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
    except FileExistsError:
        pass  # made earlier: read below
    except OSError as error:
        raise MachineError(f"cannot write ({error.strerror})", where=path, remedy="set EDGEFUSION_CACHE") from error
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise MachineError("not a machine key", where=path, remedy="delete it; engines will be built again")
    return key
