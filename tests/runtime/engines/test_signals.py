"""Ctrl-C in a process that had engines and has none any more."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, os, signal
from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from runtime.engines.cache import build

bundle, device = load_bundle(None), find_device("cpu")
engines = [build(bundle, device, size_px=(64, 48), precision="fp32").load() for _ in range(2)]
for engine in engines:
    engine.execute()
del engine
while engines:  # each backend goes with its engine
    del engines[0]
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_engines_are_gone_is_an_ordinary_interrupt() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
