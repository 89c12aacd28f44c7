"""Which pairs are judged, and what is known of their files before any is decoded."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from edgefusion.core.errors import InputError, RecordingError
from edgefusion.core.geometry import Size
from edgefusion.metrics.fusion import SMALLEST_SIDE_PX
from edgefusion.recordings.images import ImagePair, Picture, first_names, match_folders
from runtime.evaluate.entries import Entry, FusedFolder

Advance = Callable[[], None]


@dataclass(frozen=True)
class Subject:
    """A pair that will be judged.

    Attributes:
        pair: where its pictures lie.
        size_px: (width, height) of all its pictures.
        digest: SHA-256 of its two files.
        digests: for each entry the same with the entry's own file, if it reads one.
    """

    pair: ImagePair
    size_px: Size
    digest: str
    digests: tuple[str, ...]


def find_stills(visible: Path, thermal: Path, *, intersect: bool) -> list[ImagePair]:
    """The pairs of two folders of pictures.

    Raises:
        InputError: no pair, or names without a partner and not ``intersect``.
    """
    pairs, alone = match_folders(visible, thermal, intersect=intersect)
    _left_out("in one folder only", alone)
    return pairs


def complete_pairs(pairs: Sequence[ImagePair], folders: Sequence[FusedFolder], *, intersect: bool) -> list[ImagePair]:
    """The pairs that every fused folder has an image of.

    Raises:
        InputError: some have none and not ``intersect``, or nothing is left.
    """
    for folder in folders:
        missing = [pair.name for pair in pairs if pair.name not in folder.files]
        if missing and not intersect:
            raise InputError(
                f"{len(missing)} of {len(pairs)} pairs have no fused image in {folder.name!r}: {first_names(missing)}",
                remedy="add the missing images, or pass --intersect to judge the pairs that all have",
            )
        _left_out(f"no fused image in {folder.name!r}", missing)
        pairs = [pair for pair in pairs if pair.name in folder.files]
    if not pairs:
        raise InputError("no pair has a fused image in every folder", remedy="compare folders of one data set")
    return list(pairs)


def examine(pairs: Iterable[ImagePair], entries: Sequence[Entry], advance: Advance) -> tuple[list[Subject], list[str]]:
    """Read every file once for its size and hash; returns what can be compared, and names of pairs that differ in size.

    Raises:
        RecordingError: a file that is missing or no image.
    """
    subjects, unequal = [], []
    for pair in pairs:
        subject = _examine(pair, entries)
        if subject:
            subjects.append(subject)
        else:
            unequal.append(pair.name)
        advance()
    return subjects, unequal


def _examine(pair: ImagePair, entries: Sequence[Entry]) -> Subject | None:
    sizes, hashes = zip(*map(_read, (pair.visible, pair.thermal)), strict=True)
    digest = hashlib.sha256("".join(hashes).encode()).hexdigest()
    digests, all_sizes = [], {*sizes}
    for path in (entry.reads(pair) for entry in entries):
        if path is None:
            digests.append(digest)
            continue
        size, own = _read(path)
        all_sizes.add(size)
        digests.append(hashlib.sha256((digest + own).encode()).hexdigest())
    return Subject(pair, sizes[0], digest, tuple(digests)) if len(all_sizes) == 1 else None


def _read(path: Picture) -> tuple[Size, str]:
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            return image.size, hashlib.sha256(content).hexdigest()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise RecordingError(f"not a readable image ({error})", where=str(path), remedy="copy it again") from error


def judged(
    subjects: Sequence[Subject], unequal: Sequence[str], entries: Sequence[Entry], metrics: Sequence[str],
    *, intersect: bool,
) -> tuple[list[Subject], list[str]]:  # fmt: skip
    """The subjects that every entry and metric can be computed of, and the names of those left out.

    Raises:
        InputError: pairs of different size and not ``intersect``, or no pair is left.
    """
    if unequal and not intersect:
        raise InputError(
            f"{len(unequal)} pairs have pictures of different size: {first_names(unequal)}",
            remedy="register and resize them, or pass --intersect to leave them out",
        )
    needs = [(f"metric {name}", SMALLEST_SIDE_PX.get(name, 1)) for name in metrics]
    what, side_px = max(
        [*needs, *((entry.name, entry.smallest_side_px) for entry in entries)], key=lambda need: need[1]
    )
    small = [subject.pair.name for subject in subjects if min(subject.size_px) < side_px]
    if len(small) == len(subjects):
        raise InputError(
            f"no pair is left: {len(unequal)} of different size, {len(small)} under the {side_px} pixels a side that "
            f"{what} needs: {first_names([*unequal, *small])}",
            remedy="give larger pictures, or leave that out",
        )
    _left_out("pictures of different size", unequal)
    _left_out(f"under the {side_px} pixels a side that {what} needs", small)
    return [subject for subject in subjects if min(subject.size_px) >= side_px], [*unequal, *small]


def _left_out(why: str, names: Sequence[str]) -> None:
    if names:
        warnings.warn(f"left out, {why}: {first_names(names)}", stacklevel=3)
