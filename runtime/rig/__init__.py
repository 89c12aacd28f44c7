"""``edgefusion rig``: a rig.toml is checked, tried with its cameras, or begun from the cameras that are there."""
