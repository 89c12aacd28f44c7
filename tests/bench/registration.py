"""How near the estimated registration comes to known warps, beside OpenCV's ECC and a plain feature matcher.

    python tests/bench/registration.py --data /path/to/data [--clips 4] [--pairs 2] [--others 1] [--out table.json]

Prints one line a case, then the table of docs/registration.md. Refused answers count as infinitely far off.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from clips import CLIPS
from registration_cases import (
    LENSES,
    Answer,
    Pairs,
    Warp,
    ecc,
    load_clip,
    load_pairs,
    off_px,
    ours,
    perspective,
    sift,
    similarity,
)

METHODS: dict[str, Callable[..., Answer]] = {
    "edgefusion": ours,
    "edgefusion, lens": functools.partial(ours, model="lens"),
    "SIFT": sift,
    "ECC": ecc,
}
KINDS = {"similarity": similarity, "perspective": perspective}


def warps(kind: str, seed: int, count: int, pairs: Pairs, reach: tuple[float, float]) -> list[Warp]:
    """So many of a kind."""
    size = pairs[0][1].shape[1], pairs[0][1].shape[0]
    if kind == "lens":
        return [Warp(np.eye(3), each) for each in LENSES]
    return [KINDS[kind](seed + number, size, shift_px=reach[0], turn_deg=reach[1]) for number in range(count)]


def cases(
    name: str, pairs: Pairs, method: str, kinds: dict[str, list[Warp]], counts: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """One method's error for each warp."""
    visible, thermal = ((image.shape[1], image.shape[0]) for image in pairs[0])
    find = METHODS[method]
    base = find(pairs)
    for kind, number, warp in ((k, n, w) for k in kinds for n, w in enumerate(kinds[k][: counts[method]])):
        began = time.process_time()
        found = find([(left, warp(right)) for left, right in pairs])
        spent = time.process_time() - began
        off = np.inf
        if found.points and base.points:
            off = off_px(found.points, base.points, warp, visible=visible, thermal=thermal)
        row = {
            "name": name, "kind": kind, "method": method, "case": number, "off_px": off,
            "uncertainty_px": found.uncertainty_px, "refused": found.points is None,
            "base_refused": base.points is None, "cpu_s": round(spent, 2),
        }  # fmt: skip
        print(json.dumps(row), flush=True)
        yield row


def table(rows: list[dict[str, Any]]) -> str:
    """Median, 95th percentile and refusals by group."""
    lines = ["| input | warp | method | cases | median px | 95 % px | refused | wrong by > 5 px, not refused |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for key in sorted({(row["input"], row["kind"], row["method"]) for row in rows}):
        group = [row for row in rows if (row["input"], row["kind"], row["method"]) == key]
        off = np.array([row["off_px"] for row in group])
        middle, high = (np.sort(off)[min(int(np.ceil(share * len(off))) - 1, len(off) - 1)] for share in (0.5, 0.95))
        refused = sum(row["refused"] or row["base_refused"] for row in group)
        wrong = sum(np.isfinite(off) & (off > 5))
        lines.append(f"| {' | '.join(key)} | {len(off)} | {middle:.2f} | {high:.2f} | {refused} | {wrong} |")
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=4, help="warps of each kind for each clip")
    parser.add_argument("--pairs", type=int, default=2, help="warps of each kind for each pair")
    parser.add_argument("--others", type=int, default=1, help="warps for the other methods, which take long")
    parser.add_argument("--frames", type=int, default=30, help="of a clip")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    others = dict.fromkeys(("SIFT", "ECC"), given.others)
    rows = []
    for index, (name, pair) in enumerate(load_pairs(given.data).items() if given.pairs else ()):
        kinds = {kind: warps(kind, 100 * index, given.pairs, [pair], (30, 10)) for kind in KINDS}
        counts = {"edgefusion": given.pairs, **others}
        for method in (each for each in counts if counts[each]):
            rows += [{**row, "input": "pair, 30 px / 10 deg"} for row in cases(name, [pair], method, kinds, counts)]
    for index, name in enumerate(CLIPS if given.clips else ()):
        clip = load_clip(given.data, name, given.frames)
        kinds = {kind: warps(kind, 7000 + 100 * index, given.clips, clip, (60, 20)) for kind in KINDS}
        lens = {"lens": warps("lens", 0, 0, clip, (0, 0))}
        counts = {"edgefusion": given.clips, "edgefusion, lens": len(LENSES), **others}
        for method in (each for each in counts if counts[each]):
            found = cases(name, clip, method, lens if "lens" in method else kinds, counts)
            rows += [{**row, "input": f"clip, {given.frames} frames, 60 px / 20 deg"} for row in found]
    print(table(rows))
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
