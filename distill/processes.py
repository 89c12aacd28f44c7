"""This process among however many: accelerate, set up alike for every training loop."""

from __future__ import annotations

from pathlib import Path

from accelerate import Accelerator
from accelerate.state import AcceleratorState

from edgefusion.core.errors import MachineError, UsageError


def join_processes(folder: Path, *, precision: str, batch: int, accumulate: int) -> Accelerator:
    """The ``Accelerator`` of a run, with a TensorBoard log in ``folder/log``.

    Args:
        folder: of the run.
        precision: ``no`` (FP32), ``bf16`` or ``fp16``, under autocast.
        batch: examples per step of the optimiser over all processes.
        accumulate: parts that a process takes its share in.

    Raises:
        UsageError: a batch that cannot be shared out evenly.
        MachineError: FP16 on a processor.
    """
    AcceleratorState._reset_state()  # one process may train twice; accelerate keeps the precision of the first
    accelerator = Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=accumulate,
        log_with="tensorboard",
        project_dir=folder,
    )
    if precision == "fp16" and not accelerator.native_amp:  # accelerate would train in FP32 and say nothing
        raise MachineError("a processor does not train in fp16", remedy="choose --precision bf16, or use a GPU")
    parts = accelerator.num_processes * accumulate
    if batch % parts:
        raise UsageError(f"a batch of {batch} in {parts} parts", remedy=f"multiples of {parts}")
    accelerator.init_trackers("log")
    return accelerator
