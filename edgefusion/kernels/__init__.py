"""Pixels to tensors and back: the maths once, then one file per processor."""
