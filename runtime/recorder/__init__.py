"""``edgefusion record``: every raw frame of both cameras of a rig, into one MCAP file."""
