"""Fine-tuning for int8: the distill room's work, done in a process of its own, and whether what it made is better."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.errors import InputError, RunError, UsageError

if TYPE_CHECKING:
    from quantize.job import Made, QuantizeSettings, Say

Make = Callable[[bytes], "Made"]
"""The int8 model of a fine-tuned FP32 one, judged against the bundle's own FP32 model."""


@dataclass(frozen=True)
class Result:
    """What an int8 model was judged as: whether it passed, the layers left in FP16, its PSNR in dB."""

    passed: bool
    kept_fp16: tuple[str, ...]
    psnr_db: float


@dataclass(frozen=True)
class Finetuning:
    """Whether a student was fine-tuned and what came of it, for ``quality.json``.

    Attributes:
        run: whether it was.
        used: whether the int8 model is the fine-tuned student's.
        command: that repeats it.
        steps: of training.
        seed: of the order of crops.
        without: the int8 model as calibration alone makes it.
        tuned: the fine-tuned student's.
    """

    run: bool
    used: bool = False
    command: str = ""
    steps: int = 0
    seed: int = 0
    without: Result | None = None
    tuned: Result | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``quality.json``: without what there is none of."""
        return asdict(self) if self.run else {"run": False, "used": False}

    def in_words(self) -> str:
        """For people."""
        if not self.run or not self.without or not self.tuned:
            return "not fine-tuned: it passes without"
        what = "fine-tuned" if self.used else "not the fine-tuned one"
        return f"{what} (without: {_in_words(self.without)}; fine-tuned: {_in_words(self.tuned)})"


def check(settings: QuantizeSettings) -> None:
    """Raises UsageError where fine-tuning was asked for and something it needs was not."""
    if settings.qat is None:
        return
    if "int8" not in settings.precisions:
        raise UsageError("--qat is for int8", remedy="give --precision int8")
    if settings.ensemble is None:
        raise UsageError("--qat needs --ensemble", remedy="edgefusion distill ensemble makes one")
    if settings.qat_steps < 1:
        raise UsageError(f"--qat-steps {settings.qat_steps}", remedy="1 or more")


def improve(made: Made, bundle: Bundle, settings: QuantizeSettings, make: Make, say: Say) -> Made:
    """Fine-tune where layers had to stay in FP16 or the gate was missed; the better of the two int8 models.

    Args:
        made: the int8 model as calibration alone makes it.
        bundle: to be extended.
        settings: of ``check``.
        make: see ``Make``.
        say: told what goes on.

    Raises:
        RunError: the fine-tuning failed; says what it said last.
        InputError: it is of another student than the bundle's.
    """
    if made.verdict.passed and not made.kept:
        say("not fine-tuned: int8 passes without")
        return replace(made, qat=Finetuning(run=False))
    with tempfile.TemporaryDirectory() as folder:
        tuned = _finetuned(Path(folder), bundle, settings, say)
        say("making int8 of the fine-tuned student")
        other = make(tuned.model("fp32").read_bytes())
    about = Finetuning(
        run=True, used=_better(other, made), command=tuned.manifest.training.command, steps=settings.qat_steps,
        seed=settings.seed, without=_result(made), tuned=_result(other),
    )  # fmt: skip
    return replace(other if about.used else made, qat=about)


def _finetuned(folder: Path, bundle: Bundle, settings: QuantizeSettings, say: Say) -> Bundle:
    student, out = folder / "student", folder / "bundle"
    words = ["--student", f"{settings.qat}", "--ensemble", f"{settings.ensemble}", "--out", f"{student}"]
    words += ["--steps", f"{settings.qat_steps}", "--seed", f"{settings.seed}"]
    words += ["--backbones", settings.backbones] if settings.backbones else []
    say("fine-tuning the student for int8")
    _distill(["finetune", *words], say)
    width, height = bundle.manifest.layout.size_px
    _distill(["export", "--student", f"{student}", "--out", f"{out}", "--size", f"{width}x{height}"], say)
    tuned = load_bundle(out)
    arch, wanted = tuned.manifest.student.arch, bundle.manifest.student.arch
    if arch != wanted:
        raise InputError(f"a {arch}, and the bundle's student is a {wanted}", where=settings.qat or "")
    return tuned


def _distill(words: list[str], say: Say) -> None:
    """Run a command of the distill room, and pass on what it says."""
    last, call = "", [sys.executable, "-m", "edgefusion.cli", "distill", *words]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:  # noqa: S603  # ours
        try:
            for line in child.stdout or ():
                say(line.rstrip())
                last = line.strip() or last
        except BaseException:  # Ctrl-C, which may have reached this process alone
            child.terminate()
            child.wait()
            raise
    if child.returncode:
        said = last.removeprefix("edgefusion: ") or f"exit code {child.returncode}"
        raise RunError(f"edgefusion distill {words[0]} failed: {said}")


def _better(tuned: Made, made: Made) -> bool:
    return tuned.verdict.passed and (not made.verdict.passed or len(tuned.kept) < len(made.kept))


def _result(made: Made) -> Result:
    return Result(made.verdict.passed, made.kept, round(made.verdict.psnr_db, 3))


def _in_words(result: Result) -> str:
    passed = "passed" if result.passed else "over the budget"
    return f"{passed} with {len(result.kept_fp16)} layers in fp16, {result.psnr_db:.1f} dB"
