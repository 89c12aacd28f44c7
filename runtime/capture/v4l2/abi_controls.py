"""The part of ``linux/videodev2.h`` about controls. As ``abi``, and tested with it."""

from __future__ import annotations

from ctypes import Structure, Union, c_char, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from enum import IntEnum, IntFlag

from runtime.capture.v4l2.abi import ANY_DIRECTION, request_number


class Kind(IntEnum):
    """Types of controls that have a value."""

    INTEGER = 1
    BOOLEAN = 2
    MENU = 3
    BUTTON = 4
    INTEGER64 = 5
    CLASS = 6
    STRING = 7
    BITMASK = 8
    INTEGER_MENU = 9


class ControlFlag(IntFlag):
    """Of ``QueryExtControl.flags``."""

    DISABLED = 0x1
    READ_ONLY = 0x4


NEXT = 0x80000000
"""In ``id``: the control after this one."""


class QueryExtControl(Structure):
    """What a control is."""

    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int64),
        ("maximum", c_int64),
        ("step", c_uint64),
        ("default_value", c_int64),
        ("flags", c_uint32),
        ("elem_size", c_uint32),
        ("elems", c_uint32),
        ("nr_of_dims", c_uint32),
        ("dims", c_uint32 * 4),
        ("reserved", c_uint32 * 32),
    )


class QueryControl(Structure):
    """What a control is, to drivers older than ``QueryExtControl``."""

    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int32),
        ("maximum", c_int32),
        ("step", c_int32),
        ("default_value", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class _MenuUnion(Union):
    _pack_ = 1
    _fields_ = (("name", c_char * 32), ("value", c_int64))


class QueryMenu(Structure):
    """One item of a menu."""

    _pack_ = 1
    _anonymous_ = ("item",)
    _fields_ = (("id", c_uint32), ("index", c_uint32), ("item", _MenuUnion), ("reserved", c_uint32))


class Control(Structure):
    """A control and its value."""

    _fields_ = (("id", c_uint32), ("value", c_int32))


class _ValueUnion(Union):
    _pack_ = 1
    _fields_ = (("value", c_int32), ("value64", c_int64), ("pointer", c_void_p))


class ExtControl(Structure):
    """A control and its value, of up to 64 bits."""

    _pack_ = 1
    _fields_ = (("id", c_uint32), ("size", c_uint32), ("reserved2", c_uint32), ("value", _ValueUnion))


class ExtControls(Structure):
    """Several of them."""

    _fields_ = (
        ("which", c_uint32),
        ("count", c_uint32),
        ("error_idx", c_uint32),
        ("request_fd", c_int32),
        ("reserved", c_uint32),
        ("controls", c_void_p),
    )


S_CTRL = request_number(ANY_DIRECTION, "V", 28, Control)
QUERYCTRL = request_number(ANY_DIRECTION, "V", 36, QueryControl)
QUERYMENU = request_number(ANY_DIRECTION, "V", 37, QueryMenu)
S_EXT_CTRLS = request_number(ANY_DIRECTION, "V", 72, ExtControls)
QUERY_EXT_CTRL = request_number(ANY_DIRECTION, "V", 103, QueryExtControl)
