"""Options in a camera's address, such as ``seed=1,fog=0.3``: names and values, checked by a pydantic model."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgefusion.core.errors import RigError


class Options(BaseModel):
    """Base of the options of one kind of camera; each field's description says what it may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Kind = TypeVar("Kind", bound=Options)


def parse_options(text: str, kind: type[Kind], *, where: str, separator: str = ",") -> Kind:
    """The options of a camera.

    Args:
        text: ``name=value`` any number of times, with ``separator`` between them.
        kind: what they may be.
        where: the setting that the text is of, for errors.
        separator: between two options.

    Raises:
        RigError: an option that is malformed, unknown, given twice or out of range; says what is possible.
    """
    given: dict[str, str] = {}
    for part in filter(None, map(str.strip, text.split(separator))):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or name in given:
            wrong = f"{name} is given twice" if equals else f"{part!r} is no option"
            raise RigError(wrong, where=where, remedy=f"write name=value{separator}name=value of {_possible(kind)}")
        given[name] = value
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _first_wrong(error, kind, given, where) from error


def _first_wrong(error: ValidationError, kind: type[Options], given: dict[str, str], where: str) -> RigError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if name not in kind.model_fields:
        return RigError(f"no option {name!r}", where=where, remedy=f"one of {_possible(kind)}")
    said = f"{name}={given[name]}" if name in given else f"{name} is missing"
    return RigError(said, where=where, remedy=f"{name} is {kind.model_fields[name].description}")


def _possible(kind: type[Options]) -> str:
    return "; ".join(f"{name}: {field.description}" for name, field in kind.model_fields.items())
