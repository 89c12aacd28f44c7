"""How families of detectors are fed and read.

The shape of a model's one output tells its family, and by that what the numbers mean. Another family is one more entry
of ``LAYOUTS``.

========== ========================== ===================================== ==========================================
layout     output                     numbers                               input
========== ========================== ===================================== ==========================================
yolov8     [1, 4+C, N]                cx, cy, w, h in pixels; C scores      RGB 0..1, fitted in, grey 114 all round
yolox      [1, N, 5+C]                the same in cells and logarithms,     BGR 0..255, fitted in at the top left,
                                      objectness, C scores                  grey 114 below and to the right
fastestdet [1, 5+C, h, w]             objectness, tanh(x), tanh(y) in       BGR 0..1, stretched
                                      cells, sigmoid(w), sigmoid(h), C
========== ========================== ===================================== ==========================================

N is the number of cells of h x w grids of 8, 16 and 32 pixels (and 64, where the model has them). Sources: Ultralytics
YOLOv8's exported heads; Ge et al., YOLOX, arXiv 2107.08430, and its ONNX demo; github.com/dog-qiuqiu/FastestDet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Size = tuple[int, int]

PADDING = 114
STRIDES = ((8, 16, 32), (8, 16, 32, 64))
LARGEST_LOGARITHM = 10.0
"""exp(10) cells would be a box of 176,000 pixels or more: such numbers are pixels already, not logarithms."""

Prepared = tuple[Floats, npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""The input [1,3,h,w], and scale and shift (x, y): a point p of the image is at p * scale + shift of the input."""


def _fitted(rgb: Bytes, size_px: Size, *, centred: bool) -> Prepared:
    height, width = rgb.shape[:2]
    ratio = min(size_px[0] / width, size_px[1] / height)
    inner = max(1, round(width * ratio)), max(1, round(height * ratio))
    free = size_px[0] - inner[0], size_px[1] - inner[1]
    left, top = (free[0] // 2, free[1] // 2) if centred else (0, 0)
    canvas = np.full((size_px[1], size_px[0], 3), PADDING, np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = cv2.resize(rgb, inner, interpolation=cv2.INTER_LINEAR)
    return _tensor(canvas), np.array(inner) / (width, height), np.array((left, top), np.float64)


def _tensor(pixels: npt.ArrayLike) -> Floats:
    return np.ascontiguousarray(np.asarray(pixels).transpose(2, 0, 1)[None], np.float32)


def _prepare_yolov8(rgb: Bytes, size_px: Size) -> Prepared:
    tensor, scale, shift = _fitted(rgb, size_px, centred=True)
    return tensor / np.float32(255), scale, shift


def _prepare_yolox(rgb: Bytes, size_px: Size) -> Prepared:
    return _fitted(rgb[..., ::-1], size_px, centred=False)


def _prepare_fastestdet(rgb: Bytes, size_px: Size) -> Prepared:
    stretched = cv2.resize(rgb[..., ::-1], size_px, interpolation=cv2.INTER_LINEAR)
    return _tensor(stretched) / np.float32(255), np.array(size_px) / rgb.shape[1::-1], np.zeros(2)


Decoded = tuple[Floats, Floats]
"""[N,4] centre x, y, width, height in pixels of the input, and [N,C] scores."""


def _decode_yolov8(output: Floats, size_px: Size) -> Decoded:
    return output[:4].T, output[4:].T


def _decode_yolox(output: Floats, size_px: Size) -> Decoded:
    boxes, scores = output[:, :4], output[:, 4:5] * output[:, 5:]
    if boxes[:, 2:].max() > LARGEST_LOGARITHM:  # exported with decode_in_inference
        return boxes, scores
    cells, strides = _grid(size_px, len(output))
    centres, sides = (boxes[:, :2] + cells) * strides, np.exp(boxes[:, 2:]) * strides
    return np.concatenate([centres, sides], axis=1), scores


def _decode_fastestdet(output: Floats, size_px: Size) -> Decoded:
    rows, columns = output.shape[1:]
    flat = output.reshape(len(output), -1).T
    cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    centres = (np.tanh(flat[:, 1:3]) + cells) / (columns, rows) * size_px
    sides = (1 + np.tanh(flat[:, 3:5] / 2)) / 2 * size_px  # the sigmoid, without overflow
    return np.concatenate([centres, sides], axis=1).astype(np.float32), flat[:, :1] * flat[:, 5:]


def _grid(size_px: Size, count: int) -> tuple[Floats, Floats]:
    """[N,2] cell numbers (x, y) and [N,1] strides, finest grid first."""
    strides = next(each for each in STRIDES if _cells(size_px, each) == count)
    shapes = [(size_px[1] // stride, size_px[0] // stride) for stride in strides]
    cells = [np.stack(np.meshgrid(np.arange(w), np.arange(h)), axis=-1).reshape(-1, 2) for h, w in shapes]
    steps = [np.full((len(each), 1), stride) for each, stride in zip(cells, strides, strict=True)]
    return np.concatenate(cells).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _cells(size_px: Size, strides: Sequence[int]) -> int:
    return sum((size_px[0] // stride) * (size_px[1] // stride) for stride in strides)


def _is_cells(count: int, size_px: Size) -> bool:
    return count in [_cells(size_px, strides) for strides in STRIDES]


@dataclass(frozen=True)
class Layout:
    """How one family of detectors is fed and read.

    Attributes:
        classes: how many classes an output of this shape, without the batch, holds; 0 or less: it is another layout.
        prepare: the input for an image.
        decode: boxes and scores of the output, without the batch.
        overlap: intersection over union above which a surer box of its class suppresses a box, as its authors do to
            measure AP.
    """

    classes: Callable[[Sequence[int], Size], int]
    prepare: Callable[[Bytes, Size], Prepared]
    decode: Callable[[Floats, Size], Decoded]
    overlap: float


LAYOUTS = {
    "yolov8": Layout(
        lambda shape, size: shape[0] - 4 if len(shape) == 2 and _is_cells(shape[1], size) else 0,
        _prepare_yolov8, _decode_yolov8, 0.7,
    ),
    "yolox": Layout(
        lambda shape, size: shape[1] - 5 if len(shape) == 2 and _is_cells(shape[0], size) else 0,
        _prepare_yolox, _decode_yolox, 0.65,
    ),
    "fastestdet": Layout(
        lambda shape, size: shape[0] - 5 if len(shape) == 3 and shape[1] * size[0] == shape[2] * size[1] else 0,
        _prepare_fastestdet, _decode_fastestdet, 0.45,
    ),
}  # fmt: skip
