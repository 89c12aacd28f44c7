"""A ring's frames read by a GPU, from the memory in which another process wrote them."""

from __future__ import annotations

import os

import numpy as np
import pytest
from rings import heard, process, shade

from edgefusion import subscribe


@pytest.mark.gpu
@pytest.mark.jetson
def test_the_gpu_sees_what_the_writer_wrote() -> None:
    driver = pytest.importorskip("pycuda.driver")
    driver.init()
    context = driver.Device(0).retain_primary_context()
    context.push()
    name = f"gpu-{os.getpid()}"
    try:
        with process("write", name) as writer, subscribe(name, timeout_s=20) as frames:
            assert heard(writer) == "begun"
            for _ in range(100):
                with next(frames) as frame:
                    pixels = np.empty_like(frame.rgb)
                    driver.memcpy_dtoh(pixels, frame.cuda().__cuda_array_interface__["data"][0])
                    assert (pixels == shade(frame.frame_id)).all()
                    del pixels
            del frame, frames
    finally:
        context.pop()
