"""What each metric rewards and how it is fooled: for the page, and word for word the table of docs/evaluate.md."""

from __future__ import annotations

from typing import NamedTuple


class Guide(NamedTuple):
    """A metric in words."""

    title: str
    rewards: str
    fooled_by: str


GUIDE = {
    "EN": Guide("entropy, bits", "many grey levels in use", "noise; stretching contrast"),
    "SD": Guide("standard deviation, grey levels", "contrast", "stretching contrast; a black border"),
    "SF": Guide("spatial frequency, grey levels", "fine detail", "noise, sharpening, misaligned double edges"),
    "AG": Guide("average gradient, grey levels per pixel", "fine detail", "noise, sharpening, misaligned double edges"),
    "MI": Guide(
        "mutual information, nats",
        "predicting the sources' levels",
        "copying one source: `visible` and `thermal` alone beat every network",
    ),
    "SCD": Guide(
        "sum of correlations of differences, -2 to 2",
        "each source's share in the difference to the other",
        "a plain mean with more contrast",
    ),
    "VIF": Guide(
        "visual information fidelity, sum over both sources",
        "local structure of the sources, contrast raised rather than lowered",
        "copying one source; sharpening what is there",
    ),
    "Qabf": Guide("edge transfer, 0 to 1", "the sources' edges, in place", "a plain maximum"),
    "SSIM": Guide(
        "structural similarity, at most 2",
        "looking like both sources at once",
        "a plain mean: it is the compromise that SSIM asks for",
    ),
    "Nabf": Guide(
        "edge artefacts, 1 to 0: less is better", "no edges that neither source has", "copying one source; blurring"
    ),
    "CC": Guide("correlation coefficient, -1 to 1", "correlation with both sources", "a plain mean"),
}
