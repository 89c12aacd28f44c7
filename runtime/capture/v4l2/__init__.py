"""V4L2 cameras, through the kernel's own interface: no library between."""

from runtime.capture.v4l2.camera import V4l2Camera
from runtime.capture.v4l2.listing import VideoDevice, list_devices

__all__ = ["V4l2Camera", "VideoDevice", "list_devices"]
