"""Paired data sets: which visible picture belongs to which thermal one."""

from __future__ import annotations

import json
from pathlib import Path

from edgefusion.core.errors import InputError, RecordingError
from edgefusion.recordings.images import ImagePair, first_names, list_images


def match_folders(visible: Path, thermal: Path, *, intersect: bool = False) -> tuple[list[ImagePair], list[str]]:
    """Pairs of equal names, and the names that only one folder has.

    Args:
        visible: folder of visible pictures.
        thermal: folder of thermal pictures.
        intersect: leave names without a partner out instead of refusing.

    Raises:
        RecordingError: names that do not match, or no name in both.
    """
    left, right = list_images(visible), list_images(thermal)
    alone = sorted(left.keys() ^ right.keys())
    pairs = [ImagePair(name, left[name], right[name]) for name in left if name in right]
    if not pairs:
        raise RecordingError(f"no name is in both {visible} and {thermal}", remedy="name both pictures of a pair alike")
    if alone and not intersect:
        raise RecordingError(
            f"{len(alone)} names are in only one of {visible} and {thermal}: {first_names(alone)}",
            remedy="add the missing files or pass --intersect",
        )
    return pairs, alone


def load_split(data: Path, split: str) -> list[ImagePair]:
    """Pairs of one split of a data folder with ``splits.json`` and ``pairs/SET/{visible,thermal}/NAME.*``.

    Names come out as ``SET/NAME``.

    Raises:
        InputError: no such split, or a pair that is listed and not there.
    """
    try:
        sets: dict[str, list[str]] = json.loads((data / "splits.json").read_text())[split]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"no split {split!r} ({error})", where=data / "splits.json") from error
    pairs = []
    for name, stems in sets.items():
        folder = data / "pairs" / name
        if not folder.is_dir() or not stems:
            continue
        known = {pair.name: pair for pair in match_folders(folder / "visible", folder / "thermal", intersect=True)[0]}
        missing = [stem for stem in stems if stem not in known]
        if missing:
            raise InputError(f"pairs listed but not there: {first_names(missing)}", where=folder)
        pairs += [ImagePair(f"{name}/{stem}", known[stem].visible, known[stem].thermal) for stem in stems]
    return pairs
