"""A CUDA graph of what is enqueued on a stream: one call of the driver instead of one for each kernel.

Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from runtime.memory.gpu import CudaError, Gpu


class Graph:
    """What one call of ``enqueue`` puts on a stream, to be launched again and again with the same pointers.

    Args:
        gpu: whose context is current.
        stream: of pycuda's, on which nothing is under way.
        enqueue: puts the work on the stream; was called before, so that what is set up once is.

    Raises:
        CudaError: something in it cannot be captured.
    """

    def __init__(self, gpu: Gpu, stream: Any, enqueue: Callable[[], None]) -> None:
        self._gpu = gpu
        self._stream = gpu.bindings.CUstream(stream.handle)
        mode = gpu.bindings.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        gpu.call("cuStreamBeginCapture", self._stream, mode)
        try:
            enqueue()
        finally:  # the stream leaves capture mode in any case
            error, graph = gpu.bindings.cuStreamEndCapture(self._stream)
        if int(error):
            raise CudaError(f"cuStreamEndCapture: {error.name}")
        try:
            self._executable = gpu.call("cuGraphInstantiate", graph, 0)
        finally:
            gpu.call("cuGraphDestroy", graph)
        end = weakref.finalize(self, gpu.bindings.cuGraphExecDestroy, self._executable)  # the driver lets it end first
        end.atexit = False  # the context may be gone by then, and all that was in it

    def launch(self) -> None:
        """Put it on the stream.

        Raises:
            CudaError: the driver refuses.
        """
        self._gpu.call("cuGraphLaunch", self._executable, self._stream)
