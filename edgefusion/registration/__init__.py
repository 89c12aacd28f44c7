"""Estimating the map between the two cameras."""
