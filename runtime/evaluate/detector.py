"""A frozen detector of RGB images, from an ONNX file, run through OpenVINO in f32."""

from __future__ import annotations

import ast
import glob
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import openvino as ov

from edgefusion.core.errors import InputError, UsageError
from edgefusion.metrics.detection import MOST_DETECTIONS, Detections, Truth
from edgefusion.recordings.images import first_names
from runtime.capture.simulated import Box
from runtime.engines.signals import keep_signal_stack
from runtime.evaluate.layouts import LAYOUTS, Bytes, Floats, Size

Corners = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]

DEFAULT_SIZE_PX = (640, 640)
"""(width, height) of models that take any."""

_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO_CLASSES = tuple(_COCO.split(","))

SYNONYMS = {
    "person": ("people", "pedestrian"),
    "bicycle": ("bike",),
    "motorcycle": ("motorbike",),
    "car": ("vehicle",),
}
"""What labels call a class of a COCO detector, beside its own name; small and capital letters are the same."""


UNNAMED = "object"
"""The one class of labels whose classes have no names: whatever is detected may be it."""


def match_classes(detector: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Label class by detector class, for those that mean the same: equal names, or ``SYNONYMS``.

    Label classes that the detector does not know are left out: judge it on ``set(matched.values())``.

    Raises:
        UsageError: nothing matches.
    """
    if set(labels) == {UNNAMED}:
        return dict.fromkeys(detector, UNNAMED)
    spelled = {label.lower(): label for label in reversed(labels)}
    matched = {}
    for name in detector:
        candidates = (name.lower(), *SYNONYMS.get(name.lower(), ()))
        label = next((spelled[each] for each in candidates if each in spelled), None)
        if label is not None:
            matched[name] = label
    if not matched:
        raise UsageError(
            f"the detector knows none of the classes {', '.join(labels)}",
            remedy=f"name them as it does: {first_names(detector)}",
        )
    return matched


def rig_truth(boxes: Sequence[Box], *, least_visibility: float = 0.25) -> Truth:
    """True boxes of the simulated rig; those hidden more than that are crowds, neither to be found nor wrong to find.

    The rig counts pixels from the centre of the first one, a detector from its edge.
    """
    corners = np.array([(box.x0, box.y0, box.x1, box.y1) for box in boxes]).reshape(-1, 4)
    hidden = np.array([box.visibility < least_visibility for box in boxes], bool)
    return Truth(corners + 0.5, [box.label for box in boxes], hidden)


def rig_identities(boxes: Sequence[Box]) -> npt.NDArray[np.int64]:
    """Which object each true box is, [N], in the order of ``rig_truth``."""
    return np.array([box.identity for box in boxes], np.int64)


class Detector:
    """A detector with its weights frozen.

    Args:
        path: the ONNX file.
        classes: its class names in order; by default those the file states, or COCO's where it has 80.
        rename: label class by detector class (``match_classes``); other classes are dropped. By default all are kept.
        least_score: detections below are left out. Low for AP, which weighs precision against recall itself; to act
            on detections, take those of ``scores`` above a threshold of your own.
        size_px: (width, height) for models that take any size.
        threads: as many as OpenVINO likes by default.

    Attributes:
        path: the ONNX file.
        layout: which of ``LAYOUTS`` it has.
        classes: its class names.
        size_px: (width, height) of its input.

    Raises:
        InputError: not a readable ONNX model, no image input, an unknown output layout, or class names missing or too
            many or few.
        UsageError: ``rename`` names a class it does not have.
    """

    def __init__(
        self,
        path: Path,
        *,
        classes: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        least_score: float = 0.01,
        size_px: Size = DEFAULT_SIZE_PX,
        threads: int | None = None,
    ) -> None:
        self.path = path
        model = _read(path, size_px)
        height, width = model.input().shape[2:]
        self.size_px: Size = (width, height)
        self.layout, count = _recognise(model, self.size_px, path)
        self.classes = _class_names(model, count, classes, path)
        renamed = _renamed(self.classes, rename)
        self._names = list(dict.fromkeys(name for name in renamed if name is not None))
        self._kinds = np.array([-1 if name is None else self._names.index(name) for name in renamed], np.intp)
        self._least_score = least_score
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": ov.Type.f32}
        hints |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        with keep_signal_stack():
            self._request = ov.Core().compile_model(model, "CPU", hints).create_infer_request()

    def __call__(self, rgb: Bytes) -> Detections:
        """Find things in an image.

        Args:
            rgb: [H, W, 3] uint8. Repeat a grey image's channel three times.

        Returns:
            At most 100 of each class, boxes in pixels of ``rgb``, clipped to it, the surest first.

        Raises:
            UsageError: not such an array.
        """
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
            raise UsageError(f"an image of {rgb.dtype} {rgb.shape}", remedy="give uint8 [H,W,3]")
        layout = LAYOUTS[self.layout]
        tensor, scale, shift = layout.prepare(rgb, self.size_px)
        output = np.asarray(next(iter(self._request.infer([tensor]).values())))[0]
        boxes, scores = layout.decode(output, self.size_px)
        corners = (_corners(boxes) - np.tile(shift, 2)) / np.tile(scale, 2)
        return self._best(corners, scores, rgb, layout.overlap)

    def _best(self, boxes: Corners, scores: Floats, rgb: Bytes, overlap: float) -> Detections:
        """One class for each box, its likeliest; clipped; of those that overlap, the surest."""
        height, width = rgb.shape[:2]
        kinds, surest = self._kinds[scores.argmax(axis=1)], scores.max(axis=1)
        boxes = np.clip(boxes, 0, [width, height, width, height])
        keep = (kinds >= 0) & (surest >= self._least_score) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        boxes, surest, kinds = boxes[keep], surest[keep], kinds[keep]
        chosen = _suppressed(boxes, surest, kinds, overlap)
        return Detections(boxes[chosen], [self._names[kind] for kind in kinds[chosen]], surest[chosen])


@dataclass(frozen=True)
class DetectorFile:
    """A detector that travels to other processes, and is opened there.

    Attributes:
        path: the ONNX file.
        classes: the detector's class names.
        identity: changes with whatever could change what it finds.
    """

    path: Path
    classes: tuple[str, ...]
    identity: str

    @classmethod
    def of(cls, detector: Detector) -> DetectorFile:
        """That of a detector; weights beside the file, such as ``m.onnx.data``, count too."""
        found = hashlib.sha256(json.dumps([detector.size_px, detector.classes]).encode())
        for path in sorted(detector.path.parent.glob(glob.escape(detector.path.name) + "*")):
            if path.is_file():
                found.update(path.read_bytes())
        return cls(detector.path, detector.classes, found.hexdigest())

    def open(self, *, threads: int | None = None) -> Detector:
        """Make ready in this process."""
        return Detector(self.path, classes=self.classes, threads=threads)


def _read(path: Path, size_px: Size) -> ov.Model:
    """The model with a static [1,3,H,W] input."""
    if not path.is_file():
        raise InputError("no such file", where=path)
    try:
        model = ov.Core().read_model(path)
    except RuntimeError as error:
        raise InputError("not a readable ONNX model", where=path, remedy="export it again, as ONNX") from error
    shapes = [each.partial_shape for each in model.inputs]
    if (
        len(shapes) != 1
        or shapes[0].rank.is_dynamic
        or len(shapes[0]) != 4
        or not shapes[0][1].compatible(ov.Dimension(3))
    ):
        raise InputError(
            f"its inputs are {', '.join(map(str, shapes))}", where=path, remedy="a detector takes one, [1,3,H,W]"
        )
    wanted = (1, 3, size_px[1], size_px[0])
    static = [fixed.get_length() if fixed.is_static else want for fixed, want in zip(shapes[0], wanted, strict=True)]
    try:
        model.reshape([1, *static[1:]])
    except RuntimeError as error:
        raise InputError(f"it cannot take an input of {[1, *static[1:]]}", where=path) from error
    return model


def _recognise(model: ov.Model, size_px: Size, path: Path) -> tuple[str, int]:
    """The layout's name and the number of classes."""
    shapes = {each.get_any_name(): each.partial_shape for each in model.outputs}
    (shape,) = shapes.values() if len(shapes) == 1 else (None,)
    if shape is not None and shape.is_static and len(shape) > 1 and shape.to_shape()[0] == 1:
        for name, layout in LAYOUTS.items():
            count = layout.classes(list(shape.to_shape())[1:], size_px)
            if count > 0:
                return name, count
    listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    raise InputError(
        f"an unknown output layout for an input of {size_px[0]}x{size_px[1]}: {listed}",
        where=path,
        remedy="export it without suppression of overlaps, as YOLOv8 [1,4+C,N], YOLOX [1,N,5+C] or FastestDet "
        "[1,5+C,H,W]",
    )


def _class_names(model: ov.Model, count: int, given: Sequence[str] | None, path: Path) -> tuple[str, ...]:
    names = tuple(given) if given is not None else _stated_names(model)
    if names is None and count == len(COCO_CLASSES):
        names = COCO_CLASSES
    if names is None or len(names) != count:
        have = "no class names" if names is None else f"{len(names)} class names"
        raise InputError(
            f"{have} for the {count} classes of its output", where=path, remedy="give them: --detector-classes A,B,C"
        )
    return names


def _stated_names(model: ov.Model) -> tuple[str, ...] | None:
    """The names that Ultralytics writes into a file: {0: 'person', ...}."""
    path = ["framework", "names"]
    if not model.has_rt_info(path):
        return None
    try:
        names: Any = ast.literal_eval(model.get_rt_info(path).astype(str))
    except (ValueError, SyntaxError):
        return None
    return tuple(str(names[key]) for key in sorted(names)) if isinstance(names, dict) else None


def _renamed(classes: Sequence[str], rename: Mapping[str, str] | None) -> list[str | None]:
    if rename is None:
        return list(classes)
    unknown = [name for name in rename if name not in classes]
    if unknown:
        raise UsageError(f"the detector has no class {', '.join(unknown)}", remedy="use its own class names")
    return [rename.get(name) for name in classes]


def _corners(boxes: Floats) -> Corners:
    half = boxes[:, 2:].astype(np.float64) / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _suppressed(boxes: Corners, scores: Floats, kinds: Numbers, overlap: float) -> Numbers:
    """Numbers of the boxes that stay, surest first, at most 100 of each class."""
    if not len(boxes):
        return np.zeros(0, np.intp)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), kinds.tolist(), 0.0, overlap)
    chosen: Numbers = np.asarray(kept, np.intp)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    earlier = (kinds[chosen][:, None] == kinds[chosen]).astype(np.int64)
    first: Numbers = chosen[np.tril(earlier, -1).sum(axis=1) < MOST_DETECTIONS]
    return first
