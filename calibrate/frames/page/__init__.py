"""What a calibration set covers and what it lacks, as one HTML file that needs no network and no script."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from importlib.resources import files

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from calibrate.frames.descriptor import quarters
from calibrate.frames.page.cards import cards_of
from calibrate.frames.page.charts import GROUP_CLASSES, motion_chart, scatter, timelines
from calibrate.frames.selection import Selection
from edgefusion.core.calibration import CalibrationList, Tensor

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
    style = (files(__package__) / "templates" / "style.css").read_text()
    chosen, lines = len(contents.frames), timelines(selection, contents.sources)
    starts_ns = [line.start_ns for line in lines]
    return _environment().get_template("coverage.html").render(
        contents=contents,
        rows=selection.rows,
        stills=selection.survey.stills,
        scatter=scatter(selection),
        motion=motion_chart(selection),
        timelines=lines,
        groups=GROUP_CLASSES,
        cards=cards_of(contents.frames, thumbnails[:chosen], selection.choices, starts_ns),
        held=cards_of(contents.holdout, thumbnails[chosen:], [], starts_ns),
        style=Markup(style),  # noqa: S704 - our own file
        policy=_policy(style),
    )  # fmt: skip


def _policy(style: str) -> str:
    """A content security policy: nothing is fetched and no script runs, whatever a name contains."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
