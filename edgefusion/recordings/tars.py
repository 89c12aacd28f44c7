"""WebDataset tars as data sets: an index made once, then each picture read where it lies; nothing is unpacked."""

from __future__ import annotations

import glob
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, Any

from edgefusion.core.errors import EdgeFusionError, InputError, MachineError, RecordingError
from edgefusion.core.optional import require
from edgefusion.recordings.images import SUFFIXES, ImagePair, first_names

_PICTURE = re.compile(rf"(?:\./)*(.+)\.(visible|thermal)({'|'.join(map(re.escape, SUFFIXES))})", re.IGNORECASE)
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_DAMAGED = "copy it again: it is cut short or no tar (a compressed one must be unpacked first)"
_FAR = "check that the server can be reached, has it whole, and gives parts of files"


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a tar.

    Attributes:
        tar: a path or URL.
        name: inside it.
        offset: of its first byte, from the start of the tar.
        size: in bytes.
    """

    tar: str
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.tar}: {self.name}"

    def read_bytes(self) -> bytes:
        """Its content; of a URL, nothing else is fetched.

        Raises:
            RecordingError: the tar is gone, cannot be read in parts, or became shorter.
            MachineError: a URL that this machine has no library for.
        """
        with _reading(str(self)):
            content = self._fetch() if _is_url(self.tar) else self._read()
        if len(content) != self.size:
            raise RecordingError(
                f"{len(content)} bytes instead of {self.size}",
                where=str(self),
                remedy=_FAR if _is_url(self.tar) else _DAMAGED,
            )
        return content

    def _read(self) -> bytes:
        with open(self.tar, "rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)

    def _fetch(self) -> bytes:
        system, path = _file_system(self.tar)
        return bytes(system.cat_file(path, start=self.offset, end=self.offset + self.size))


def match_tars(spec: str, *, intersect: bool = False) -> tuple[list[ImagePair], list[str]]:
    """Pairs of tars with ``NAME.visible.png`` and ``NAME.thermal.png`` (or .jpg ...), and members without partner.

    Args:
        spec: see ``expand``.
        intersect: leave members without a partner in their tar out instead of refusing.

    Raises:
        InputError: no such tar.
        RecordingError: a tar that cannot be read or is cut short, members without a partner, or no pair in any.
        MachineError: a URL that this machine has no library for.
    """
    found = [(name, halves) for tar in expand(spec) for name, halves in _index(tar).items()]
    pairs = [ImagePair(name, **halves) for name, halves in found if len(halves) == 2]
    alone = [str(member) for _, halves in found if len(halves) == 1 for member in halves.values()]
    if alone and not intersect:
        raise RecordingError(
            f"{len(alone)} pictures have no partner: {first_names(alone)}",
            where=spec,
            remedy="pack both of a pair into one tar or pass --intersect",
        )
    if not pairs:
        raise RecordingError("no pair", where=spec, remedy="name pictures NAME.visible.png and NAME.thermal.png")
    return pairs, alone


def expand(spec: str) -> list[str]:
    """The tars that are meant, each a path or URL, in order.

    Args:
        spec: paths, globs and URLs (``http://``, ``s3://`` ...) with commas between, each with ranges such as
            ``train-{000..009}.tar`` in it.

    Raises:
        InputError: no such file, or a pattern that no file has.
    """
    parts = [spec] if os.path.exists(spec) else [part for part in spec.split(",") if part]
    tars = [tar for part in parts for ranged in _ranges(part) for tar in _found(ranged)]
    if not tars:
        raise InputError("names no pairs", where=repr(spec), remedy="give a folder, tars or URLs of tars")
    return tars


def _ranges(part: str) -> Iterator[str]:
    """``{000..009}`` as each of its numbers, as wide as the first."""
    found = _RANGE.search(part)
    if not found or os.path.exists(part):
        yield part
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _ranges(f"{part[: found.start()]}{number:0{len(first)}d}{part[found.end() :]}")


def _found(part: str) -> list[str]:
    if _is_url(part):
        return [part]
    found = [part] if os.path.exists(part) else sorted(glob.glob(part, recursive=True))
    if not found:
        raise InputError(
            "no such file or folder", where=part, remedy="give a folder, a tar, a pattern that a tar has, or a URL"
        )
    return found


def _index(tar: str) -> dict[str, dict[str, Member]]:
    """Name of a pair -> its halves; other members are not ours."""
    found: dict[str, dict[str, Member]] = {}
    with _reading(tar), _opened(tar) as stream:
        for member in _members(tar, stream):
            picture = _PICTURE.fullmatch(member.name)
            if not picture:
                continue
            name, half = picture[1], picture[2].lower()
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise RecordingError("a name that leads out of the tar", where=str(member), remedy="pack it anew")
            if half in found.setdefault(name, {}):
                raise RecordingError(f"more than one {half} picture is called {name}", where=tar, remedy="pack it anew")
            found[name][half] = member
    return found


def _members(tar: str, stream: IO[bytes]) -> Iterator[Member]:
    """Every file in a tar; its end must be there, or it may have lost whole pairs."""
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            if member.isreg():
                yield Member(tar, member.name, member.offset_data, member.size)
        end = archive.offset
    stream.seek(end)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no end of archive at byte {end}")


@contextmanager
def _opened(tar: str) -> Iterator[IO[bytes]]:
    if not _is_url(tar):
        with open(tar, "rb") as stream:
            yield stream
        return
    system, path = _file_system(tar)
    with system.open(path, "rb") as stream:
        yield stream


def _file_system(url: str) -> tuple[Any, str]:
    """A file system of fsspec, which keeps one per server, and what the URL is called there."""
    core = require("fsspec.core", "train")
    try:
        system, path = core.url_to_fs(url)
    except ImportError as error:
        raise MachineError(f"no library for it ({error})", where=url, remedy="install the one that is named") from error
    return system, str(path)


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except EdgeFusionError:
        raise
    except FileNotFoundError as error:
        raise RecordingError("no such file", where=where, remedy=_FAR if _is_url(where) else "") from error
    except Exception as error:  # each file system of fsspec has errors of its own
        raise RecordingError(
            f"cannot be read ({error or type(error).__name__})", where=where, remedy=_DAMAGED
        ) from error


def _is_url(tar: str) -> bool:
    return "://" in tar
