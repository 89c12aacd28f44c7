"""Fused frames for other processes: a ring in shared memory, read without copying."""
