"""The driver of ``fake_cuda`` in place of the real one."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import fake_cuda
import pytest

from runtime.engines import trt_api
from runtime.memory import gpu as gpu_module


def install(monkeypatch: pytest.MonkeyPatch) -> fake_cuda.Gpu:
    """Until the end of the test; ``this_gpu`` is made anew."""
    gpu = fake_cuda.Gpu()
    modules = {"pycuda": ModuleType("pycuda"), "pycuda.driver": gpu.pycuda(), "cuda.bindings.driver": gpu.bindings()}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(trt_api, "has_driver", lambda: True)
    monkeypatch.setattr(gpu_module, "_THREAD", SimpleNamespace())
    monkeypatch.setattr(gpu_module.atexit, "register", lambda function: None)
    gpu_module._only.cache_clear()
    return gpu
