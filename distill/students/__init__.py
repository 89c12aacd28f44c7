"""The networks that can be distilled, one file per family, and the registry of them."""

from __future__ import annotations

from typing import Protocol

from distill.students import proxy, timm_encoder
from distill.students.student import Student
from edgefusion.core.errors import UsageError


class Family(Protocol):
    """Makes the students of one family; see ``build``."""

    def __call__(self, arch: str, *, pretrained: bool) -> Student:
        """The student of that name."""


FAMILIES: dict[str, Family] = {**dict.fromkeys(proxy.WIDTHS, proxy.build), timm_encoder.PREFIX: timm_encoder.build}
"""Name of a student, or what such names begin with up to the colon -> its family."""


def build(arch: str, *, pretrained: bool = True) -> Student:
    """A student as its training begins: it takes the brighter source.

    Args:
        arch: ``proxy-nano``, ``timm:NAME``, ``timm:NAME=FILE`` ...
        pretrained: whether encoders get their published weights. Without, all weights wait for a checkpoint's.

    Raises:
        UsageError: no such student.
        InputError: an encoder that cannot be one, or weights of another network (``timm_encoder``).
        MachineError: no pretrained weights to be had.
    """
    return _family(arch)(arch, pretrained=pretrained)


def check_arch(arch: str) -> None:
    """Raises UsageError for a student of no family, without building it."""
    _family(arch)


def _family(arch: str) -> Family:
    key = arch[: arch.find(":") + 1] or arch
    if key not in FAMILIES:
        choice = ", ".join(f"{name}NAME" if name.endswith(":") else name for name in FAMILIES)
        raise UsageError(f"unknown student {arch!r}", remedy=f"choose from {choice}")
    return FAMILIES[key]
