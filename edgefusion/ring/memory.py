"""The shared memory of a ring: made by its writer, opened by its readers."""

from __future__ import annotations

import errno
import fcntl
import grp
import mmap
import os
import pwd
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefusion.core.errors import InputError, MachineError, RingLostError
from edgefusion.ring import layout, owners
from edgefusion.ring.layout import Geometry, Header

_SHARED = mmap.MAP_SHARED | mmap.MAP_POPULATE
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
_BOTH = mmap.PROT_READ | mmap.PROT_WRITE
_FOR_ANYBODY = 0o444


@dataclass(frozen=True)
class Mapped:
    """One file of a ring, mapped. The memory stays as long as anything refers to ``bytes``.

    Attributes:
        bytes: [N] uint8.
        address: of the first of them.
        file: its descriptor; -1 for memory that is nobody else's.
    """

    bytes: npt.NDArray[np.uint8]
    address: int
    file: int

    def close(self) -> None:
        """Close the file. What is mapped stays."""
        if self.file >= 0:
            os.close(self.file)


def _map(file: int, size: int, flags: int, protection: int) -> Mapped:
    array = np.frombuffer(mmap.mmap(file, size, flags, protection), np.uint8)
    return Mapped(array, array.ctypes.data, file)


def _header(at: Geometry, instance: int) -> bytes:
    return layout.pack_header(Header(at, instance, owners.token(), owners.namespace()))


def make_private(at: Geometry) -> tuple[Mapped, Mapped]:
    """(frames, readers) in memory of this process only."""
    frames, readers = (_map(-1, size, _PRIVATE, _BOTH) for size in (at.total_bytes, layout.READERS_BYTES))
    _fill(frames, readers, at)
    return frames, readers


def _fill(frames: Mapped, readers: Mapped, at: Geometry) -> None:
    instance = secrets.randbits(63)
    for mapped, head in ((frames, _header(at, instance)), (readers, layout.pack_readers(instance))):
        mapped.bytes[: len(head)] = np.frombuffer(head, np.uint8)


def make_shared(name: str, at: Geometry, *, mode: int, group: str | None) -> tuple[Mapped, Mapped]:
    """(frames, readers) under a name, in place of what a dead writer left there. Byte 0 of frames is locked.

    Both appear only when they are whole: nothing is left behind by a process that dies in here.

    Raises:
        MachineError: the name is taken by a living writer or another user, or there is no room, or no such group.
    """
    table = mode | (mode & _FOR_ANYBODY) >> 1  # who may read frames may note a lease
    path, readers_path = layout.paths(name)
    with ExitStack() as undo:
        frames = _reserve(path, at.total_bytes, mode=mode, group=group)
        undo.callback(frames.close)
        readers = _reserve(readers_path, layout.READERS_BYTES, mode=table, group=group)
        undo.callback(readers.close)
        _fill(frames, readers, at)
        owners.lock(frames.file, 0)
        with _folder_locked():
            _clear(name)
            _link(readers, readers_path)
            _link(frames, path)
        undo.pop_all()
    return frames, readers


def _reserve(path: Path, size: int, *, mode: int, group: str | None) -> Mapped:
    """A file of ``size`` bytes, all of them really there, that has no name yet."""
    try:
        file = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MachineError(f"no shared memory can be made there ({error.strerror})", where=path.parent) from error
    try:
        _admit(file, mode, group, path)
        _allocate(file, size, path)
        return _map(file, size, _SHARED, _BOTH)
    except BaseException:
        os.close(file)
        raise


def _admit(file: int, mode: int, group: str | None, path: Path) -> None:
    if group is not None:
        try:
            os.fchown(file, -1, grp.getgrnam(group).gr_gid)
        except KeyError as error:
            raise MachineError(f"there is no group {group!r}", where=path, remedy=f"groupadd {group}") from error
        except PermissionError as error:
            remedy = f"add this user to it: usermod -aG {group} {_user(os.getuid())}"
            raise MachineError(f"may not give it to group {group!r}", where=path, remedy=remedy) from error
    os.fchmod(file, mode)


def _allocate(file: int, size: int, path: Path) -> None:
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.ENOMEM):
            raise
        space = os.statvfs(path.parent)
        free = space.f_bavail * space.f_frsize
        what = f"no room: a ring needs {size / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
        remedy = "fewer slots or smaller frames, or more room: mount -o remount,size=1G /dev/shm (Docker: --shm-size)"
        raise MachineError(what, where=path.parent, remedy=remedy) from error


@contextmanager
def _folder_locked() -> Iterator[None]:
    """One process at a time gives or takes a ring's name."""
    folder = os.open(layout.folder(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _clear(name: str) -> None:
    """Remove what a dead writer left.

    Raises:
        MachineError: it is not dead, or another user's.
    """
    path, readers = layout.paths(name)
    try:
        if writer := _living_writer(path):
            raise MachineError(f"ring {name} is being written by {writer}", where=path, remedy="use another name")
        path.unlink()
    except FileNotFoundError:
        pass
    except PermissionError as error:
        raise MachineError(_whose(name, path, "cannot be replaced"), where=path, remedy="use another name") from error
    readers.unlink(missing_ok=True)


def _living_writer(path: Path) -> str:
    """Which process writes this ring, which may be damaged; empty if none does."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header = layout.unpack_header(os.pread(file, layout.RECORDS, 0), where=str(path), size=os.fstat(file).st_size)
        return f"process {owners.pid_of(header.owner)}" if lives(file, header) else ""
    except InputError:
        return "another version of edgefusion" if owners.locked(file, 0) else ""
    finally:
        os.close(file)


def lives(file: int, header: Header) -> bool:
    """Whether the writer of an opened ring is alive and has not ended it."""
    return owners.locked(file, 0) and not owners.gone(header.owner, header.namespace)


def _link(mapped: Mapped, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # with a folder given, Python follows the link to the open file, as linkat's manual has it
        os.link(f"/proc/self/fd/{mapped.file}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def remove(name: str, frames: Mapped) -> None:
    """Take back the name of a ring that this process made."""
    path, readers = layout.paths(name)
    with _folder_locked(), suppress(FileNotFoundError):
        if path.stat().st_ino == os.fstat(frames.file).st_ino:
            path.unlink()
            readers.unlink(missing_ok=True)


def open_frames(name: str) -> tuple[Mapped, Header]:
    """The frames of a ring, read-only.

    Raises:
        RingLostError: there is no ring of this name.
        MachineError: this user may not read it.
        InputError: not a ring, or of another schema.
    """
    path, _ = layout.paths(name)
    file = _open(name, path, os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        header = layout.unpack_header(os.pread(file, layout.RECORDS, 0), where=str(path), size=size)
        return _map(file, header.geometry.total_bytes, _SHARED, mmap.PROT_READ), header
    except BaseException:
        os.close(file)
        raise


def open_readers(name: str, header: Header) -> Mapped:
    """The table of a ring's readers, to write in.

    Raises:
        RingLostError: it is gone, or belongs to a newer ring by now.
        MachineError: this user may not write in it.
    """
    path = layout.paths(name)[1]
    file = _open(name, path, os.O_RDWR)
    try:
        if layout.readers_instance(os.pread(file, layout.SEATS_OFFSET, 0)) != header.instance:
            raise RingLostError(f"ring {name} is being replaced", where=path)
        return _map(file, layout.READERS_BYTES, _SHARED, _BOTH)
    except BaseException:
        os.close(file)
        raise


def _open(name: str, path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise RingLostError(f"there is no ring {name}", where=path, remedy=_others()) from error
    except PermissionError as error:
        remedy = 'let its group read: mode = "0640" and group = ... of the output in rig.toml, and join that group'
        raise MachineError(_whose(name, path, "may not be read by this user"), where=path, remedy=remedy) from error
    except OSError as error:
        remedy = "mount /dev/shm writable, or subscribe with lease=False" if error.errno == errno.EROFS else ""
        raise MachineError(f"cannot open it ({error.strerror})", where=path, remedy=remedy) from error


def _others() -> str:
    there = ", ".join(layout.names())
    return f"there are: {there}" if there else "start one: edgefusion run --output ring:NAME"


def _whose(name: str, path: Path, what: str) -> str:
    facts = path.stat()
    try:
        group = grp.getgrgid(facts.st_gid).gr_name
    except KeyError:
        group = str(facts.st_gid)
    return f"ring {name} of {_user(facts.st_uid)}, group {group}, mode {facts.st_mode & 0o777:04o}, {what}"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
