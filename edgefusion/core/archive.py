"""The packed bundle, ``.efb``: a zip of one form only, so that one bundle has one SHA-256.

The form: entries stored, sorted by name, dated 1980-01-01, mode 0644, no comments or extra fields, nothing before,
between or after them. Stored, since weights hardly compress and the bytes of zlib's versions differ. What does not have
that form byte for byte is refused, and with it every changed byte, link, hidden entry and bomb.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from edgefusion.core.errors import BundleError

MAX_BYTES = 512 << 20
"""Of all files together; the shipped bundle has 0.3 MB, a student of 70 million parameters in three precisions 490."""
MAX_FILES = 256
MAX_NAME = 200
"""Characters of a file's name, folders included."""

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"
_NAME = re.compile(rf"{_PART}(/{_PART})*")
_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644
_END_BYTES, _END, _END64 = 22, b"PK\x05\x06", b"PK\x06\x07"
_ENTRY_BYTES = 46 + MAX_NAME
_REMEDY = "copy it again, or pack the bundle again"
_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error)
"""What zipfile raises on bytes that are no zip, or a broken one."""


def check_names(names: Collection[str], where: Path) -> None:
    """See that the names are plain relative paths, which lie in one folder together.

    Raises:
        BundleError: a name that is absolute, climbs, is hidden, has odd characters, or is another one's folder.
    """
    for name in names:
        if len(name) > MAX_NAME or not _NAME.fullmatch(name):
            raise BundleError(f"{name[:MAX_NAME]!r} is no plain relative name of a file", where=where)
        if any(str(folder) in names for folder in PurePosixPath(name).parents):
            raise BundleError(f"{name!r} lies in a file", where=where)


def check_sizes(sizes: Collection[int], where: Path) -> None:
    """See that so many files of so many bytes are within the limits.

    Raises:
        BundleError: they are not.
    """
    if len(sizes) > MAX_FILES:
        raise BundleError(f"{len(sizes)} files; a bundle has at most {MAX_FILES}", where=where)
    if sum(sizes) > MAX_BYTES:
        raise BundleError(f"{sum(sizes)} bytes; a bundle has at most {MAX_BYTES}", where=where)


def to_archive(files: dict[str, bytes]) -> bytes:
    """The archive of files: relative name -> content. The same files give the same bytes everywhere."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = 3, _MODE << 16
            archive.writestr(entry, files[name])
    return stream.getvalue()


def read_archive(path: Path) -> bytes:
    """The bytes of an archive, no more than one can have.

    Raises:
        BundleError: it cannot be read, or is too large.
    """
    limit = MAX_BYTES + (MAX_FILES << 10)
    try:
        with path.open("rb") as stream:
            content = stream.read(limit + 1)
    except OSError as error:
        raise BundleError(f"cannot read it ({error.strerror})", where=path) from error
    if len(content) > limit:
        raise BundleError(f"over {limit} bytes; a packed bundle has fewer", where=path)
    return content


def from_archive(content: bytes, where: Path) -> dict[str, bytes]:
    """The files of an archive: relative name -> content. Touches no disk.

    Args:
        content: the archive.
        where: it came from, for errors.

    Raises:
        BundleError: damaged, hostile, or not the form that ``to_archive`` writes.
    """
    _check_end(content, where)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_entries(archive.infolist(), where)
            files = {entry.filename: _read(archive, entry) for entry in archive.infolist()}
    except _DAMAGE as error:
        raise BundleError(f"the packed bundle is damaged ({error})", where=where, remedy=_REMEDY) from error
    if to_archive(files) != content:
        raise BundleError("not byte for byte what edgefusion bundle pack writes", where=where, remedy=_REMEDY)
    return files


def _check_end(content: bytes, where: Path) -> None:
    """See that the list of entries is short before zipfile makes objects of it."""
    end = content[-_END_BYTES:]
    if len(end) < _END_BYTES or end[:4] != _END:
        raise BundleError("not a packed bundle, or cut off", where=where, remedy=_REMEDY)
    count, size = struct.unpack("<HI", end[10:16])
    if count > MAX_FILES or size > MAX_FILES * _ENTRY_BYTES or content[-_END_BYTES - 20 :][:4] == _END64:
        raise BundleError(f"{count} files; a bundle has at most {MAX_FILES}", where=where)


def _check_entries(entries: list[zipfile.ZipInfo], where: Path) -> None:
    names = [entry.orig_filename for entry in entries]
    check_names(set(names), where)
    check_sizes([entry.file_size for entry in entries], where)
    for entry in entries:
        if entry.external_attr >> 16 != _MODE:
            raise BundleError(f"{entry.filename} is a link or no plain file", where=where)
        if entry.compress_type != zipfile.ZIP_STORED:
            raise BundleError(f"{entry.filename} is compressed; a packed bundle only stores", where=where)
        if names.count(entry.filename) > 1:
            raise BundleError(f"{entry.filename} is there twice", where=where)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """One file, no more of it than it declares; its CRC is checked at its end."""
    with archive.open(entry) as stream:
        return stream.read(entry.file_size + 1)
