"""Decoding the JPEGs that a camera sends (MJPEG)."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from edgefusion.core.errors import InputError
from edgefusion.core.frames import PixelFormat, Pixels
from edgefusion.core.geometry import Size
from runtime.capture.v4l2.buffers import Bytes

_NAMES = {PixelFormat.RGB24: "rgb24", PixelFormat.NV12: "nv12"}


class JpegDecoder:
    """Decodes one image after the other with FFmpeg, which knows the Huffman tables that cameras leave out.

    Args:
        pixel_format: RGB24 or NV12.
        size_px: (width, height) that every image must have.
    """

    def __init__(self, pixel_format: PixelFormat, size_px: Size) -> None:
        self._name, self._size_px = _NAMES[pixel_format], size_px
        self._codec = av.CodecContext.create("mjpeg", "r")
        self._codec.options = {"err_detect": "explode"}  # or it makes up what is missing
        self._reformat = VideoReformatter()

    def __call__(self, data: Bytes, out: Pixels) -> bool:
        """Decode into ``out``; False if the image is damaged, other than in its last few blocks.

        Raises:
            InputError: it is of another size.
        """
        if not data.size:  # to the decoder that would be the end of the stream
            return False
        try:
            frames = self._codec.decode(av.Packet(data.tobytes()))
        except av.FFmpegError:
            return False
        if not frames or frames[0].is_corrupt:
            return False
        image = frames[0]
        if (image.width, image.height) != self._size_px:
            sizes = f"{image.width}x{image.height}", "x".join(map(str, self._size_px))
            raise InputError(f"it sends JPEGs of {sizes[0]}, not {sizes[1]}", remedy="open it again, with that size")
        # JPEG has the full range of values, our YUV formats the limited one
        made = self._reformat.reformat(image, format=self._name, src_color_range="JPEG", dst_color_range="MPEG")
        np.copyto(out, made.to_ndarray())
        return True
