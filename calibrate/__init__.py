"""Calibrating a rig, and choosing the frames that quantization is calibrated on."""
