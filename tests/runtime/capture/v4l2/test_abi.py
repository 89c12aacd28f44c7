"""Structures and numbers are those of the kernel's headers, by what a C compiler says of both."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from runtime.capture.v4l2 import abi, abi_controls

STRUCTURES: dict[str, tuple[type[ctypes.Structure], dict[str, str]]] = {
    "struct v4l2_capability": (abi.Capability, {}),
    "struct v4l2_fmtdesc": (abi.FormatDescription, {}),
    "struct v4l2_pix_format": (abi.PixFormat, {}),
    "struct v4l2_format": (abi.Format, {}),
    "struct v4l2_frmsizeenum": (abi.FrameSize, {"size": "discrete"}),
    "struct v4l2_frmivalenum": (abi.FrameInterval, {"interval": "discrete"}),
    "struct v4l2_streamparm": (abi.StreamParameters, {}),
    "struct v4l2_requestbuffers": (abi.RequestBuffers, {}),
    "struct v4l2_buffer": (abi.Buffer, {}),
    "struct v4l2_exportbuffer": (abi.ExportBuffer, {}),
    "struct v4l2_event": (abi.Event, {"data": "u.data"}),
    "struct v4l2_event_subscription": (abi.EventSubscription, {}),
    "struct v4l2_query_ext_ctrl": (abi_controls.QueryExtControl, {}),
    "struct v4l2_queryctrl": (abi_controls.QueryControl, {}),
    "struct v4l2_querymenu": (abi_controls.QueryMenu, {"item": "name"}),
    "struct v4l2_control": (abi_controls.Control, {}),
    "struct v4l2_ext_control": (abi_controls.ExtControl, {}),
    "struct v4l2_ext_controls": (abi_controls.ExtControls, {}),
    "struct dma_heap_allocation_data": (abi.DmaHeapAllocation, {}),
    "struct udmabuf_create": (abi.UdmabufCreate, {}),
    "struct dma_buf_sync": (abi.DmabufSync, {}),
}
"""C name -> ours, and fields that C calls by another name."""

NUMBERS = {
    **{
        f"VIDIOC_{name}": getattr(abi, name)
        for name in (
            "QUERYCAP", "ENUM_FMT", "S_FMT", "REQBUFS", "QUERYBUF", "QBUF", "EXPBUF", "DQBUF", "STREAMON", "STREAMOFF",
            "G_PARM", "S_PARM", "ENUM_FRAMESIZES", "ENUM_FRAMEINTERVALS", "DQEVENT", "SUBSCRIBE_EVENT",
        )
    },
    **{
        f"VIDIOC_{name}": getattr(abi_controls, name)
        for name in ("S_CTRL", "QUERYCTRL", "QUERYMENU", "S_EXT_CTRLS", "QUERY_EXT_CTRL")
    },
    "DMA_HEAP_IOCTL_ALLOC": abi.DMA_HEAP_ALLOC,
    "UDMABUF_CREATE": abi.UDMABUF_CREATE,
    "DMA_BUF_IOCTL_SYNC": abi.DMA_BUF_SYNC,
    "V4L2_CAP_VIDEO_CAPTURE": abi.VIDEO_CAPTURE,
    "V4L2_CAP_VIDEO_OUTPUT": abi.VIDEO_OUTPUT,
    "V4L2_CAP_VIDEO_CAPTURE_MPLANE": abi.VIDEO_CAPTURE_MPLANE,
    "V4L2_CAP_READWRITE": abi.READWRITE,
    "V4L2_CAP_STREAMING": abi.STREAMING,
    "V4L2_CAP_DEVICE_CAPS": abi.DEVICE_CAPS,
    "V4L2_CAP_TIMEPERFRAME": abi.TIME_PER_FRAME,
    "V4L2_BUF_TYPE_VIDEO_CAPTURE": abi.CAPTURE,
    "V4L2_BUF_TYPE_VIDEO_OUTPUT": abi.OUTPUT,
    "V4L2_MEMORY_MMAP": abi.Memory.MMAP,
    "V4L2_MEMORY_USERPTR": abi.Memory.USERPTR,
    "V4L2_MEMORY_DMABUF": abi.Memory.DMABUF,
    "V4L2_FIELD_NONE": abi.FIELD_NONE,
    "V4L2_FRMSIZE_TYPE_DISCRETE": abi.DISCRETE,
    "V4L2_FRMIVAL_TYPE_DISCRETE": abi.DISCRETE,
    "V4L2_BUF_FLAG_ERROR": abi.FLAG_ERROR,
    "V4L2_BUF_FLAG_TIMESTAMP_MASK": abi.FLAG_TIMESTAMP_MASK,
    "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC": abi.FLAG_MONOTONIC,
    "V4L2_BUF_FLAG_TSTAMP_SRC_MASK": abi.FLAG_SOURCE_MASK,
    "V4L2_BUF_FLAG_TSTAMP_SRC_SOE": abi.FLAG_START_OF_EXPOSURE,
    "V4L2_EVENT_SOURCE_CHANGE": abi.SOURCE_CHANGE,
    "V4L2_CTRL_FLAG_DISABLED": abi_controls.ControlFlag.DISABLED,
    "V4L2_CTRL_FLAG_READ_ONLY": abi_controls.ControlFlag.READ_ONLY,
    "V4L2_CTRL_FLAG_NEXT_CTRL": abi_controls.NEXT,
    "DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ": abi.SYNC_START_READ,
    "DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ": abi.SYNC_END_READ,
    "UDMABUF_FLAGS_CLOEXEC": abi.CLOSE_ON_EXEC,
    **{
        f"V4L2_CTRL_TYPE_{'CTRL_CLASS' if kind is abi_controls.Kind.CLASS else kind.name}": kind
        for kind in abi_controls.Kind
    },
}  # fmt: skip

HEADERS = ("linux/videodev2.h", "linux/dma-buf.h", "linux/dma-heap.h", "linux/udmabuf.h")


def expected() -> dict[str, int]:
    """What each C expression must be."""
    values = {name: int(value) for name, value in NUMBERS.items()}
    for name, (structure, renamed) in STRUCTURES.items():
        values[f"sizeof({name})"] = ctypes.sizeof(structure)
        fields: list[Any] = list(structure._fields_)
        for field, *_ in fields:
            if not field.startswith("reserved"):
                place = getattr(structure, field).offset
                values[f"offsetof({name}, {renamed.get(field, field)})"] = place
    return values


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_every_structure_and_number_is_as_the_kernel_has_it(tmp_path: Path) -> None:
    ours = expected()
    lines = "".join(f'printf("%llu\\n", (unsigned long long)({expression}));\n' for expression in ours)
    includes = "".join(f"#include <{header}>\n" for header in ("stddef.h", "stdio.h", *HEADERS))
    source, program = tmp_path / "abi.c", tmp_path / "abi"
    source.write_text(f"{includes}int main(void) {{\n{lines}return 0;\n}}\n")
    subprocess.run(["cc", "-w", source, "-o", program], check=True, timeout=60)
    said = subprocess.run([program], check=True, capture_output=True, text=True, timeout=10).stdout.split()
    theirs = dict(zip(ours, map(int, said), strict=True))
    assert {
        name: (value, theirs[name]) for name, value in ours.items() if value & 0xFFFFFFFF != theirs[name] & 0xFFFFFFFF
    } == {}


def test_pixel_formats_are_the_four_letters_of_the_header() -> None:
    from runtime.capture.v4l2.formats import CODES, code_name, fourcc

    assert fourcc("YUYV") == 0x56595559
    assert [code_name(code) for code in CODES.values()] == [each.value for each in CODES]
    assert code_name(fourcc("Y10 ") | 1 << 31) == "Y10_BE"
    assert code_name(fourcc("MJPG")) == "MJPEG"
