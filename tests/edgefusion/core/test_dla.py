from __future__ import annotations

import math
import struct

import pytest

from edgefusion.core.dla import read_cache, write_cache
from edgefusion.core.errors import InputError

SCALES = {"x": 1 / 127, "conv2d": 0.25, "a: b": 3e-5}


def test_a_cache_is_the_text_that_tensorrt_writes() -> None:
    assert write_cache(SCALES).decode().splitlines() == [
        "TRT-100300-EntropyCalibration2",
        "x: 3c010204",
        "conv2d: 3e800000",
        f"a: b: {struct.pack('>f', 3e-5).hex()}",
    ]


def test_the_first_line_names_the_version_that_is_to_read_it() -> None:
    assert write_cache(SCALES, (10, 7, 0)).startswith(b"TRT-100700-EntropyCalibration2\n")


def test_what_is_written_is_read_to_the_bit() -> None:
    read = read_cache(write_cache(SCALES, (10, 7, 0)))
    assert read == {name: struct.unpack("f", struct.pack("f", scale))[0] for name, scale in SCALES.items()}
    assert write_cache(read) == write_cache(SCALES)


def test_a_cache_that_tensorrt_8_wrote_is_read() -> None:
    """The first lines of the one in ultralytics issue 14121."""
    read = read_cache(b"TRT-8601-EntropyCalibration2\nimages: 3b66eddc\n168: 3dc6cf6e\n")
    assert read == {"images": pytest.approx(0.003523699), "168": pytest.approx(0.09707533)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a calibration cache"),
        (b"TRT-100300-EntropyCalibration2\nx 3c010a14\n", "not a calibration cache"),
        (b"TRT-100300-EntropyCalibration2\nx: 3c010a\n", "not a calibration cache"),
        (b"TRT-100300-EntropyCalibration2\nx: 0.00787\n", "not a calibration cache"),
        (b"\xff\xfe", "not a calibration cache"),
        (b"TRT-100300-MinMaxCalibration\nx: 3c010a14\n", "not of EntropyCalibration2"),
    ],
)
def test_what_is_no_cache_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_cache(content)


@pytest.mark.parametrize("scales", [{"x": 0.0}, {"x": -1.0}, {"x": math.nan}, {"x": math.inf}, {"a\nb": 1.0}])
def test_what_no_cache_can_hold_is_refused(scales: dict[str, float]) -> None:
    with pytest.raises(InputError, match="no calibration cache can hold"):
        write_cache(scales)
