"""The cameras of this machine."""

from __future__ import annotations

from glob import glob
from typing import NamedTuple

from edgefusion.core.errors import EdgeFusionError
from runtime.capture.v4l2 import abi
from runtime.capture.v4l2.formats import Offer, offers
from runtime.capture.v4l2.node import Node, explaining


class VideoDevice(NamedTuple):
    """A device that captures video.

    Attributes:
        path: the node.
        name: what its maker calls it.
        formats: those that can be used here; ``str`` of one says its sizes.
        problem: why it cannot be asked, such as a permission; empty if it can.
    """

    path: str
    name: str
    formats: tuple[Offer, ...]
    problem: str = ""


def list_devices() -> list[VideoDevice]:
    """Every V4L2 device here that captures video, without nodes for metadata or output. Opens each for a moment."""
    paths = sorted(glob("/dev/video*"), key=lambda path: (len(path), path))
    return [device for path in paths if (device := _look(path))]


def _look(path: str) -> VideoDevice | None:
    try:
        node = Node(path)
    except EdgeFusionError as error:
        return VideoDevice(path, "", (), str(error))
    try:
        return _describe(node)
    finally:
        node.close()


def _describe(node: Node) -> VideoDevice | None:
    name = node.about.card.decode("latin-1")
    if node.capabilities & abi.VIDEO_CAPTURE_MPLANE:
        return VideoDevice(node.path, name, (), "its images are in several planes, which is not supported")
    if not node.capabilities & abi.VIDEO_CAPTURE:
        return None
    with explaining(node.path, "listing its formats"):
        return VideoDevice(node.path, name, offers(node))
