"""``edgefusion profile``: the same run in every combination of precision, size and power mode."""
