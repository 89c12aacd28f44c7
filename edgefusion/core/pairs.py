"""Paired data sets: which visible picture belongs to which thermal one, wherever they lie."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgefusion.core.errors import InputError
from edgefusion.recordings.images import ImagePair, first_names, match_folders
from edgefusion.recordings.recording import locate
from edgefusion.recordings.tars import match_tars

SPLITS = "splits.json"


def find_pairs(spec: str, split: str, *, intersect: bool = False) -> list[ImagePair]:
    """The pairs of a data set, by name and place: none is decoded.

    Args:
        spec: a folder with ``visible/`` and ``thermal/``, a data folder with ``splits.json``, or WebDataset tars with
            ``NAME.visible.png`` and ``NAME.thermal.png``, as ``edgefusion.recordings.tars.expand`` has them.
        split: of a data folder; may turn out empty.
        intersect: leave pictures without a partner out, with a warning, instead of refusing.

    Raises:
        InputError: no pair there, two pairs of one name, pictures without a partner and not ``intersect``, or a tar
            that cannot be read.
        MachineError: a URL that this machine has no library for.
    """
    if os.path.isfile(os.path.join(spec, SPLITS)):
        pairs = load_split(Path(spec), split)
    else:
        match = _match_folder if os.path.isdir(spec) else match_tars
        pairs, alone = match(spec, intersect=intersect)
        if alone:
            warnings.warn(f"left out, without a partner: {first_names(alone)}", stacklevel=2)
    check_names([pair.name for pair in pairs], spec)
    return pairs


def _match_folder(folder: str, *, intersect: bool) -> tuple[list[ImagePair], list[str]]:
    return match_folders(*locate(Path(folder)), intersect=intersect)


def check_names(names: Sequence[str], where: str) -> None:
    """Raises InputError if a name comes twice."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"more than one pair is called {first_names(twice)}", where=where, remedy="rename them")


def load_split(data: Path, split: str) -> list[ImagePair]:
    """Pairs of one split of a data folder with ``splits.json`` and ``pairs/SET/{visible,thermal}/NAME.*``.

    Names come out as ``SET/NAME``.

    Raises:
        InputError: no such split, or a pair that is listed and not there.
    """
    try:
        sets: dict[str, list[str]] = json.loads((data / SPLITS).read_text())[split]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"no split {split!r} ({error})", where=data / SPLITS) from error
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
