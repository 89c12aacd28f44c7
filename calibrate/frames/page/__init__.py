"""What a calibration set covers and what it lacks, as one HTML file that needs no network and no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from calibrate.frames.descriptor import quarters
from calibrate.frames.page.cards import cards_of
from calibrate.frames.page.charts import GROUP_CLASSES, motion_chart, scatter, timelines
from calibrate.frames.selection import Selection
from calibrate.page import SHARED
from edgefusion.core.calibration import CalibrationList, Tensor
from edgefusion.pages import render_page

THUMBNAIL_PX = 112
QUALITY = 60


def thumbnail(x: Tensor) -> str:
    """Luma beside thermal, as the student sees them, as a data URI."""
    both = [_small(plane) for plane in quarters(x)]
    stream = io.BytesIO()
    Image.fromarray(np.hstack(both)).save(stream, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _small(plane: Tensor) -> Tensor:
    height, width = plane.shape
    scale = min(THUMBNAIL_PX / width, 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA) * 255 + 0.5).astype(np.uint8)


def render(contents: CalibrationList, selection: Selection, thumbnails: Sequence[str]) -> str:
    """The page's HTML.

    Args:
        contents: the set's list.
        selection: how it came about.
        thumbnails: of the frames of the list, then of its holdout.
    """
    chosen, lines = len(contents.frames), timelines(selection, contents.sources)
    starts_ns = [line.start_ns for line in lines]
    values = {
        "contents": contents,
        "rows": selection.rows,
        "stills": selection.survey.stills,
        "scatter": scatter(selection),
        "motion": motion_chart(selection),
        "timelines": lines,
        "groups": GROUP_CLASSES,
        "cards": cards_of(contents.frames, thumbnails[:chosen], selection.choices, starts_ns),
        "held": cards_of(contents.holdout, thumbnails[chosen:], [], starts_ns),
    }
    return render_page((SHARED, __name__), "coverage.html", values)
