"""Choosing, out of recordings, the few frames that quantization is calibrated on."""
