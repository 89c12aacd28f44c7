"""Sleeping until a word in shared memory changes, without polling it."""

from __future__ import annotations

import ctypes
import errno
import os

_WAIT, _WAKE = 0, 1
_EVERYBODY = 2**31 - 1
_NUMBER = ctypes.c_long(202 if os.uname().machine == "x86_64" else 98)
_waiting = ctypes.CDLL(None, use_errno=True).syscall
_waking = ctypes.PyDLL(None).syscall  # keeps the interpreter's lock: giving it up could cost the writer milliseconds
_EXPECTED = (0, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def wait(address: int, word: int, *, timeout_s: float) -> None:
    """Sleep while the low half of the word at ``address`` is that of ``word``. May return early, as after a signal.

    Raises:
        OSError: this system has no futexes.
    """
    seconds = int(timeout_s)
    until = _Timespec(seconds, int((timeout_s - seconds) * 1e9))
    expected = ctypes.c_uint32(word & 0xFFFFFFFF)
    ctypes.set_errno(0)
    _waiting(_NUMBER, ctypes.c_void_p(address), _WAIT, expected, ctypes.byref(until), None, 0)
    if (number := ctypes.get_errno()) not in _EXPECTED:
        raise OSError(number, os.strerror(number))


def wake(address: int) -> None:
    """Wake everybody, in any process, who sleeps on this word."""
    _waking(_NUMBER, ctypes.c_void_p(address), _WAKE, _EVERYBODY, None, None, 0)
