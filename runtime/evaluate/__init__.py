"""``edgefusion evaluate``: how good fused images are, side by side, and how sure one can be of it."""
