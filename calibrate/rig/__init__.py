"""The geometry and the time offset of the two cameras: measured with a target, or from what a drive shows."""
