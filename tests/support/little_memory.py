"""The command line with little memory left: ``python -m tests.support.little_memory distill ...``."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module

LEFT_MIB = 400
LIBRARIES = ("torch.utils.tensorboard", "timm", "distill.train", "distill.teachers.posterior", "distill.teachers.train")


def run_with_little_memory(words: Sequence[object]) -> subprocess.CompletedProcess[str]:
    """What the command of these words says when memory runs short."""
    call = [sys.executable, "-m", "tests.support.little_memory", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, timeout=120)


if __name__ == "__main__":
    torch = import_module("torch")
    for library in LIBRARIES:
        import_module(library)
    torch.nn.Conv2d(3, 3, 3)(torch.rand(1, 3, 9, 9)).sum().backward()  # starts the threads
    with open("/proc/self/statm") as sizes:
        taken = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + (LEFT_MIB << 20), resource.RLIM_INFINITY))
    import_module("edgefusion.cli").main(sys.argv[1:])
