"""Signals beside OpenVINO: Python's handlers must run on memory that is still there."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """``stack_t`` of Linux, on x86-64 and aarch64 alike (sigaltstack(2))."""

    _fields_ = (("pointer", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def keep_signal_stack() -> Iterator[None]:
    """Leave the thread's alternate signal stack as it was.

    An OpenVINO core gives the thread that makes it load its CPU plugin such a stack, and frees it when it goes.
    Python's handlers run on it: after two cores that are gone, Ctrl-C would end the process with SIGSEGV.
    """
    library, before = ctypes.CDLL(None), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
