"""A ROS 2 node that publishes a ring's fused frames as ``sensor_msgs/Image``, with what is unusual about each.

    edgefusion run --rig rig.toml                          # writes ring:front
    python3 ros2_publisher.py --ros-args -p ring:=front    # in an environment with ROS 2 and edgefusion

Topics: ``~/image`` (rgb8) and ``~/flags`` (``std_msgs/UInt32``: 0, or the sum of edgefusion's flags: 1 stale, 2 thermal
lost, 4 visible lost, 8 misregistered), each once for every frame, in this order.
"""

from __future__ import annotations

import array
import threading
import time

import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import UInt32

import edgefusion


class RingPublisher(Node):
    """Publishes what a ring brings, until it is shut down. A ring that goes away is waited for."""

    def __init__(self) -> None:
        super().__init__("edgefusion")
        ring = self.declare_parameter("ring", "front").value
        self._frame_id = self.declare_parameter("frame_id", "visible_camera").value
        self._images = self.create_publisher(Image, "~/image", qos_profile_sensor_data)
        self._flags = self.create_publisher(UInt32, "~/flags", qos_profile_sensor_data)
        self._thread = threading.Thread(target=self._publish, args=(ring,), daemon=True)
        self._thread.start()

    def _publish(self, ring: str) -> None:
        while rclpy.ok():
            try:
                with edgefusion.subscribe(ring, timeout_s=1.0) as frames:
                    for frame in frames:
                        with frame:
                            self._images.publish(self._image(frame))
                            self._flags.publish(UInt32(data=int(frame.flags)))
            except edgefusion.EdgeFusionError as error:
                self.get_logger().warning(str(error), throttle_duration_sec=10.0)

    def _image(self, frame: edgefusion.RingFrame) -> Image:
        height, width, _ = frame.rgb.shape
        image = Image(height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width)
        image.header.frame_id = self._frame_id
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(exposed_ns(frame), 10**9)
        image.data = array.array("B", frame.rgb.tobytes())
        return image


def exposed_ns(frame: edgefusion.RingFrame) -> int:
    """When the frame was exposed, on ROS's system clock."""
    if frame.clock == "realtime":
        return frame.timestamp_ns
    return frame.timestamp_ns + time.time_ns() - time.monotonic_ns()


def main() -> None:
    """Publish until Ctrl-C."""
    rclpy.init()
    node = RingPublisher()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
