"""Pictures: the ensemble's mean of a pair, and sheets of what a student makes of some examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.examples import Batch
from edgefusion.recordings.images import write_png

GAP_PX = 4


def write_sheet(path: Path, batch: Batch, fused: Tensor) -> None:
    """Write a PNG with a row per example: visible | thermal (as the student sees them) | mean | variance | student.

    Variance is shown as standard deviation, white where it is the sheet's largest.

    Args:
        path: of the PNG.
        batch: examples.
        fused: [N, 1, H, W], the student's images of them.

    Raises:
        MachineError: the place is not writable or full.
    """
    deviation = batch.variance.sqrt()
    columns = [batch.inputs[:, :1], batch.inputs[:, 1:], batch.mean, deviation / deviation.max().clamp(min=1e-6), fused]
    padded = [torch.nn.functional.pad(column.cpu(), (0, GAP_PX, 0, GAP_PX), value=1.0) for column in columns]
    rows = torch.cat(padded, dim=3).flatten(0, 2)
    write_grey(path, rows[:-GAP_PX, :-GAP_PX])


def write_grey(path: Path, luma: Tensor) -> None:
    """Write luma [H, W] in 0..1 as an 8-bit PNG; folders are made.

    Raises:
        MachineError: the place is not writable or full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, (luma.clip(0, 1) * 255).round().cpu().numpy().astype(np.uint8))
