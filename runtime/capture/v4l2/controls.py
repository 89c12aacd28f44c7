"""A camera's controls, by the names that ``v4l2-ctl --list-ctrls`` shows."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from ctypes import addressof
from dataclasses import dataclass

from edgefusion.core.errors import EdgeFusionError, MachineError, RigError
from runtime.capture.v4l2 import abi_controls as abi
from runtime.capture.v4l2.abi_controls import ControlFlag, Kind
from runtime.capture.v4l2.node import Node, explain, explaining

Value = bool | int | str
MENUS = (Kind.MENU, Kind.INTEGER_MENU)
RANGED = (Kind.INTEGER, Kind.INTEGER64)


@dataclass(frozen=True)
class Control:
    """One control that can be set.

    Attributes:
        id: the driver's number.
        name: as in rig.toml.
        kind: what its value is.
        low, high, step: of its value.
    """

    id: int
    name: str
    kind: Kind
    low: int
    high: int
    step: int


def variable_name(name: str) -> str:
    """A driver's name in the way that v4l2-ctl spells it: "White Balance, Auto" is ``white_balance_auto``."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def set_controls(node: Node, values: Mapping[str, Value], where: str) -> None:
    """Set controls in the given order: what is automatic must be switched off before it can be set.

    Raises:
        RigError: no such control or menu item, or a value out of its range; says what there is.
        MachineError: the driver refuses it.
    """
    known = {control.name: control for control in controls(node)} if values else {}
    for name, value in values.items():
        try:
            if name not in known:
                raise RigError("it has no such control", remedy=f"it has {', '.join(sorted(known)) or 'none'}")
            _write(node, known[name], _number_for(node, known[name], value))
        except EdgeFusionError as error:
            error_type = type(error)
            what = f"{where}.controls.{name}: {error.what}"
            raise error_type(what, where=node.path, remedy=error.remedy) from error


def controls(node: Node) -> Iterator[Control]:
    """Every control that can be set."""
    with explaining(node.path, "listing its controls"):
        for found in _extended(node) or _plain(node):
            flags = ControlFlag(found.flags & (ControlFlag.DISABLED | ControlFlag.READ_ONLY))
            if not flags and found.type in set(Kind) - {Kind.CLASS, Kind.STRING}:
                name = variable_name(found.name.decode("latin-1"))
                span = int(found.minimum), int(found.maximum), int(found.step)
                yield Control(found.id, name, Kind(found.type), *span)


def _extended(node: Node) -> list[abi.QueryExtControl]:
    query = abi.QueryExtControl(id=abi.NEXT)
    found = []
    while node.asks(abi.QUERY_EXT_CTRL, query):
        found.append(abi.QueryExtControl.from_buffer_copy(query))
        query.id |= abi.NEXT
    return found


def _plain(node: Node) -> list[abi.QueryControl]:
    """As drivers before Linux 3.17 are asked, and some of today's."""
    query = abi.QueryControl(id=abi.NEXT)
    found = []
    while node.asks(abi.QUERYCTRL, query):
        found.append(abi.QueryControl.from_buffer_copy(query))
        query.id |= abi.NEXT
    return found


def _number_for(node: Node, control: Control, value: Value) -> int:
    if control.kind in MENUS:
        return _menu_index(node, control, value)
    if isinstance(value, str):
        raise RigError(f"{value!r} is not a number", remedy=_describe_range(control))
    number = int(value)
    if control.kind is Kind.BOOLEAN and number not in (0, 1):
        raise RigError(f"{value} is neither true nor false")
    if control.kind in RANGED and not _in_range(control, number):
        raise RigError(f"{value} is not one of its values", remedy=_describe_range(control))
    return number


def _in_range(control: Control, number: int) -> bool:
    return control.low <= number <= control.high and (number - control.low) % max(control.step, 1) == 0


def _describe_range(control: Control) -> str:
    if control.kind is Kind.BOOLEAN:
        return "true or false"
    steps = f" in steps of {control.step}" if control.step > 1 else ""
    return f"it takes {control.low} to {control.high}{steps}"


def _menu_index(node: Node, control: Control, value: Value) -> int:
    """The index of a menu item given by its text (in any case), of an integer menu by its number."""
    items = dict(_menu(node, control))
    for index, item in items.items():
        if item.casefold() == str(value).casefold():
            return index
    if control.kind is Kind.MENU and isinstance(value, int) and int(value) in items:
        return int(value)
    raise RigError(f"{value!r} is not in its menu", remedy=f"it has {', '.join(items.values())}")


def _menu(node: Node, control: Control) -> Iterator[tuple[int, str]]:
    for index in range(control.low, control.high + 1):
        item = abi.QueryMenu(id=control.id, index=index)
        if node.asks(abi.QUERYMENU, item):  # menus have gaps
            yield index, str(item.value) if control.kind is Kind.INTEGER_MENU else item.name.decode("latin-1")


def _write(node: Node, control: Control, number: int) -> None:
    try:
        if control.kind is Kind.INTEGER64:
            _write_long(node, control, number)
        else:
            node.call(abi.S_CTRL, abi.Control(control.id, number))
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EACCES, errno.EINVAL, errno.ERANGE):
            remedy = "another control may rule it: set that one first, in its line above"
            raise MachineError(f"the driver refuses {number} ({error.strerror})", remedy=remedy) from error
        raise explain(error, node.path, "setting it") from error


def _write_long(node: Node, control: Control, number: int) -> None:
    one = abi.ExtControl(id=control.id)
    one.value.value64 = number
    node.call(abi.S_EXT_CTRLS, abi.ExtControls(count=1, controls=addressof(one)))
