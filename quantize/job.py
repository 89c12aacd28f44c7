"""``edgefusion quantize``: a bundle's smaller precisions, each through the quality gate, or none of them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from edgefusion.core.bundle import Bundle, Precision, add_models, load_bundle
from edgefusion.core.calibration import CalibrationSet, load_calibration
from edgefusion.core.errors import RunError, UsageError
from quantize import crosscheck, holdout, qat, sensitivity
from quantize.crosscheck import Agreement
from quantize.dla import Dla, make_dla
from quantize.equalize import equalize
from quantize.fp16 import to_fp16
from quantize.gate import Judge, Verdict
from quantize.graph import parse
from quantize.holdout import Holdout, Judged
from quantize.int8 import Recipe, make_recipe, to_int8
from quantize.ranges import Inputs, Method
from quantize.reference import check_decides
from quantize.sensitivity import Layer
from quantize.verify import verify

METHODS: tuple[Method, ...] = ("max", "entropy")
COMPARED = 16
"""Held-out frames that the methods are compared on."""
LOOKED_AT = 8
"""Calibration frames for the sensitivity of layers, and held-out ones for the second opinion."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class QuantizeSettings:
    """What was asked for.

    Attributes:
        bundle: the bundle to add to.
        calibration: a calibration set; int8 needs one.
        precisions: which.
        max_drop: the gate's budget, a share of each figure.
        method: of the activations' ranges; both compared if None.
        holdout: pairs to judge on; the calibration set's held-out frames if None.
        split: of a data folder with splits.
        accept_drop: take a precision that is over the budget, and write so into the manifest.
        seed: of what is random.
        dla: make the files for a DLA too, of int8.
        qat: checkpoint of the bundle's student, to be fine-tuned where int8 is not as good as asked for.
        ensemble: to fine-tune it on.
        qat_steps: of fine-tuning.
        backbones: those of the ensemble, as ``distill finetune`` takes them; its default if None.
    """

    bundle: Path
    calibration: Path | None = None
    precisions: tuple[Precision, ...] = ("fp16",)
    max_drop: float = 0.01
    method: Method | None = None
    holdout: str | None = None
    split: str = "val"
    accept_drop: bool = False
    seed: int = 0
    dla: bool = False
    qat: Path | None = None
    ensemble: Path | None = None
    qat_steps: int = 500
    backbones: str | None = None


@dataclass(frozen=True)
class Made:
    """One precision's model and what was found out about it.

    Attributes:
        model: ONNX.
        verdict: of the gate.
        agreement: of OpenVINO with the reference.
        method: of the ranges, of int8.
        methods: PSNR in dB of each method compared, of int8.
        layers: each convolution's sensitivity, of int8.
        kept: convolutions that stayed FP16, in the order they went back.
        dla: the files for a DLA, if asked for, of int8.
        qat: whether and how it was fine-tuned, where that was asked for.
    """

    model: bytes
    verdict: Verdict
    agreement: Agreement
    method: Method | None = None
    methods: dict[str, float] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    kept: tuple[str, ...] = ()
    dla: Dla | None = None
    qat: qat.Finetuning | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``quality.json``."""
        found = {**self.verdict.to_json(), "bytes": len(self.model), "openvino": vars(self.agreement)}
        if self.method:
            layers = [{**vars(layer), "fp16": layer.name in self.kept} for layer in self.layers]
            found |= {"method": self.method, "methods": self.methods, "kept_fp16": self.kept, "layers": layers}
        if self.dla:
            found["dla"] = self.dla.to_json()
        if self.qat:
            found["qat"] = self.qat.to_json()
        return found


def quantize(settings: QuantizeSettings, say: Say = lambda text: None) -> tuple[Bundle, dict[Precision, Made]]:
    """Make every precision asked for and put them into the bundle, if all of them pass.

    Args:
        settings: what was asked for.
        say: told what goes on.

    Raises:
        UsageError: int8 without a calibration set, a DLA's files or fine-tuning without what they need, or nothing to
            judge on.
        InputError: a bundle, set or pairs that are wrong or do not belong together.
        MachineError: an environment that may not decide.
        RunError: a precision is over its budget, or fine-tuning failed; the bundle is as it was.
    """
    qat.check(settings)
    bundle = load_bundle(settings.bundle, in_place=True)
    calibration = load_calibration(settings.calibration) if settings.calibration else None
    if calibration is None and "int8" in settings.precisions:
        raise UsageError("int8 needs --calibration", remedy="edgefusion calibrate frames makes a set")
    if settings.dla and "int8" not in settings.precisions:
        raise UsageError("--dla is made of int8", remedy="add --precision int8")
    if calibration:
        calibration.check_for(bundle)
    check_decides()
    fp32 = bundle.model("fp32").read_bytes()
    model = parse(fp32)
    say("computing what fp32 makes of the held-out pairs")
    judge = Judge(fp32, _held_out(settings, calibration, bundle), max_drop=settings.max_drop, seed=settings.seed)
    made: dict[Precision, Made] = {}
    for precision in settings.precisions:
        say(f"making {precision}")
        if precision == "int8" and calibration:
            made[precision] = _int8(model, fp32, calibration, judge, settings, say)
            if settings.qat:
                tuned = partial(_tuned, fp32, calibration, judge, settings, say)
                made[precision] = qat.improve(made[precision], bundle, settings, tuned, say)
        else:
            made[precision] = _fp16(fp32, judge)
        _warn(precision, made[precision])
    refused = [precision for precision, found in made.items() if not found.verdict.passed]
    if refused and not settings.accept_drop:
        raise RunError(_refusal(refused[0], made[refused[0]]), where=settings.bundle, remedy=REMEDY)
    return _store(bundle, calibration, made), made


REMEDY = "the bundle is as it was; calibrate with more varied frames, or take it with --accept-drop"


def _held_out(settings: QuantizeSettings, calibration: CalibrationSet | None, bundle: Bundle) -> Holdout:
    if settings.holdout:
        return holdout.of_pairs(settings.holdout, settings.split, bundle)
    if calibration is None:
        raise UsageError(
            "a precision needs frames to be judged on", remedy="give --holdout PAIRS or --calibration CALIB"
        )
    return holdout.of_calibration(calibration)


def _fp16(fp32: bytes, judge: Judge) -> Made:
    model = to_fp16(fp32)
    verify(model, "fp16")
    return Made(model, judge(model), crosscheck.compare(model, _some(judge.holdout.pairs, LOOKED_AT)))


def _int8(
    model: onnx.ModelProto,
    fp32: bytes,
    calibration: CalibrationSet,
    judge: Judge,
    settings: QuantizeSettings,
    say: Say,
    *,
    equalized: bool = False,
) -> Made:
    frames = np.stack([x.astype(np.float16) for x in calibration.tensors()])
    recipe, methods = _best(model if equalized else equalize(model, frames), frames, judge, settings)
    say("measuring what int8 does in each layer")
    layers = sensitivity.measure(recipe, _layer_judge(fp32, calibration, settings))
    kept: list[str] = []
    for name in [None, *sensitivity.cheapest_first(layers)[:-1]]:
        kept += [name] if name else []
        content = to_int8(recipe, kept)
        verdict = judge(content)
        if verdict.passed:
            break
        say(f"over the budget with {len(kept)} layers in fp16: {describe_worst(verdict)}")
    verify(content, "int8")
    agreement = crosscheck.compare(content, _some(judge.holdout.pairs, LOOKED_AT))
    dla = make_dla(recipe, frames, kept) if settings.dla else None
    return Made(content, verdict, agreement, recipe.method, methods, tuple(layers), tuple(kept), dla)


def _tuned(
    fp32: bytes, calibration: CalibrationSet, judge: Judge, settings: QuantizeSettings, say: Say, content: bytes
) -> Made:
    return _int8(parse(content), fp32, calibration, judge, settings, say, equalized=True)


def _best(
    equal: onnx.ModelProto, frames: Inputs, judge: Judge, settings: QuantizeSettings
) -> tuple[Recipe, dict[str, float]]:
    """The recipe of the method whose output is nearest to FP32's, and the PSNR of each."""
    methods = (settings.method,) if settings.method else METHODS
    compared = _spread(len(judge.holdout.pairs), COMPARED)
    recipes = {method: make_recipe(equal, frames, method, seed=settings.seed) for method in methods}
    psnr = {method: round(judge.psnr_db(to_int8(recipe), compared), 3) for method, recipe in recipes.items()}
    return recipes[max(psnr, key=lambda method: psnr[method])], {str(method): value for method, value in psnr.items()}


def _layer_judge(fp32: bytes, calibration: CalibrationSet, settings: QuantizeSettings) -> Judge:
    frames = _some(calibration.list.frames, LOOKED_AT)
    pairs = [
        Judged(frame.file, frame.light, x, calibration.list.size_px)
        for frame, x in zip(frames, calibration.tensors(frames), strict=True)
    ]
    return Judge(fp32, Holdout("calibration frames", tuple(pairs)), max_drop=settings.max_drop, seed=settings.seed)


def _some(items: Sequence[Any], count: int) -> tuple[Any, ...]:
    """At most so many of them, spread evenly."""
    return tuple(items[place] for place in _spread(len(items), count))


def _spread(total: int, count: int) -> list[int]:
    """Places of at most ``count`` of ``total``, spread evenly."""
    return [int(place) for place in np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))]


def _warn(precision: Precision, made: Made) -> None:
    found = made.agreement
    if not found.holds:
        where = f"first in {found.layer}, by {found.layer_difference:.1%}" if found.layer else "in no single layer"
        warnings.warn(
            f"{precision}: OpenVINO and ONNX Runtime differ by {found.psnr_db:.1f} dB, "
            f"under {found.bound_db:g}: {where}",
            stacklevel=3,
        )


def _refusal(precision: Precision, made: Made) -> str:
    return f"{precision} is over the budget: {describe_worst(made.verdict)}"


def describe_worst(verdict: Verdict) -> str:
    """The figure nearest to its budget or furthest over it."""
    scenes, change = verdict.worst
    form = "{:+.4f}" if change.metric == "Nabf" else "{:+.2%}"
    values = [form.format(value) for value in (change.change, change.low, change.high)]
    budget = form.format(change.budget).lstrip("+")
    which = "" if scenes.name == "all" else f" by {scenes.name}" if scenes.name == "day" else " at night"
    return f"{change.metric}{which} {values[0]} ({values[1]} to {values[2]}; budget {budget})"


def _store(bundle: Bundle, calibration: CalibrationSet | None, made: dict[Precision, Made]) -> Bundle:
    files = {"quality.json": _quality(bundle, made)}
    if calibration:
        files["calibration/calibration.json"] = calibration.list_bytes()
    for found in made.values():
        files |= found.dla.files() if found.dla else {}
    models = {precision: found.model for precision, found in made.items()}
    gates = {precision: found.verdict.gate() for precision, found in made.items()}
    return add_models(bundle, models, gates, files)


def _quality(bundle: Bundle, made: dict[Precision, Made]) -> bytes:
    path = bundle.path / "quality.json"
    known = json.loads(path.read_text()) if "quality.json" in bundle.manifest.files else {}
    found = {**known, **{str(precision): one.to_json() for precision, one in made.items()}}
    return (json.dumps(found, indent=2) + "\n").encode()
