"""How good a fused image is: pure functions on arrays."""
