"""Sleeping until a word in shared memory changes, without polling it."""

from __future__ import annotations

import ctypes
import os

_WAIT, _WAKE = 0, 1
_EVERYBODY = 2**31 - 1
_NUMBER = 202 if os.uname().machine == "x86_64" else 98
_syscall = ctypes.CDLL(None).syscall
_syscall.restype = ctypes.c_long


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def wait(address: int, word: int, *, timeout_s: float) -> None:
    """Sleep while the low half of the word at ``address`` is that of ``word``. May return early, as after a signal."""
    seconds = int(timeout_s)
    until = _Timespec(seconds, int((timeout_s - seconds) * 1e9))
    expected = ctypes.c_uint32(word & 0xFFFFFFFF)
    _syscall(
        ctypes.c_long(_NUMBER), ctypes.c_void_p(address), ctypes.c_int(_WAIT), expected, ctypes.byref(until), None, 0
    )


def wake(address: int) -> None:
    """Wake everybody, in any process, who sleeps on this word."""
    _syscall(
        ctypes.c_long(_NUMBER), ctypes.c_void_p(address), ctypes.c_int(_WAKE), ctypes.c_int(_EVERYBODY), None, None, 0
    )
