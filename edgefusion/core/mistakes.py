"""What is wrong with a file: a TOML one in the words of whoever wrote it, line and field; a JSON one in short."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edgefusion.core import toml

Model = TypeVar("Model", bound=BaseModel)

GIVEN_LENGTH = 60
"""Longer values are shown cut."""

PLAINER = {
    "Input should be ": "",
    "'": '"',
    "a valid number": "a number",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "a valid string": "text",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "Value error, ": "",
}


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong.

    Attributes:
        line: where, from 1; None where nothing of it is in the file.
        field: its dotted name, as ``thermal.bits``; empty for the file as a whole.
        what: what is wrong with it.
    """

    line: int | None
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}" if self.field else self.what


def parse(text: str) -> dict[str, Any] | Mistake:
    """The contents of a TOML text, or why it is none."""
    try:
        data: dict[str, Any] = toml.loads(text)
        return data
    except toml.TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = place.removeprefix("line ").partition(",")[0]
        return Mistake(int(line) if line.isdigit() else text.count("\n") + 1, "", f"not TOML: {message}")
    except RecursionError:
        return Mistake(None, "", "not TOML: nested too deeply")


def validate(model: type[Model], data: Mapping[str, Any]) -> Model | ValidationError:
    """The model of what a TOML file holds: strictly, so that "14" is no number and ``true`` is not 1."""
    try:
        return model.model_validate_json(json.dumps(data, default=str), strict=True)
    except ValidationError as error:
        return error


def first_mistake(error: ValidationError) -> str:
    """The first that pydantic found: its place, if it has one, and what is wrong."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def explain(
    error: ValidationError, model: type[BaseModel], data: Mapping[str, Any], *, lines: toml.Lines
) -> list[Mistake]:
    """Every mistake that pydantic found, each field once."""
    found: dict[str, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail, data)
        field = ".".join(map(str, path))
        if field in found:  # another member of a union that does not fit either
            also = _expected(detail)
            found[field] = Mistake(found[field].line, field, found[field].what.replace(" (given", f" or {also} (given"))
        else:
            found[field] = Mistake(lines.of(path), field, _what(detail, path, model))
    return list(found.values())


def _path(detail: ErrorDetails, data: Mapping[str, Any]) -> toml.Path:
    """Where in the file: pydantic also names the members of unions, which are no keys."""
    path: list[str | int] = []
    here: Any = data
    for key in detail["loc"]:
        present = key in here if isinstance(here, dict) else isinstance(here, list) and key in range(len(here))
        if not present and detail["type"] != "missing":
            break
        path.append(key)
        here = here[key] if present else None
    return tuple(path)


def _what(detail: ErrorDetails, path: toml.Path, model: type[BaseModel]) -> str:
    if detail["type"] == "extra_forbidden":
        return f"unknown field{_suggestion(path, model)}"
    if detail["type"] == "missing":
        return "missing"
    field = _field(path, model)
    if detail["type"] == "string_pattern_mismatch" and field and field.examples:
        return f'should look like "{field.examples[0]}"{_given(detail)}'
    verb = "should be " if detail["msg"].startswith("Input should be ") else ""
    return f"{verb}{_expected(detail)}{_given(detail)}"


def _expected(detail: ErrorDetails) -> str:
    message = detail["msg"]
    for wording, plainer in PLAINER.items():
        message = message.replace(wording, plainer)
    return message[:1].lower() + message[1:]


def _given(detail: ErrorDetails) -> str:
    shown = json.dumps(detail["input"], ensure_ascii=False, default=str)
    return f" (given {shown if len(shown) <= GIVEN_LENGTH else shown[:GIVEN_LENGTH] + ' ...'})"


def _suggestion(path: toml.Path, model: type[BaseModel]) -> str:
    """What may have been meant: a field of this table with a similar name, or of another with this or a similar one."""
    *table, name = path
    parts = dict(_parts(model))
    here = ".".join(key for key in table if isinstance(key, str))
    own = [alias for alias, _ in _fields(parts[here])] if here in parts else []
    if close := get_close_matches(str(name), own, 1):
        return f" (did you mean {close[0]}?)"
    homes = [part for part, each in parts.items() if name in dict(_fields(each))]
    if homes:
        places = [f"in [{home}]" if home else "before the first table" for home in homes]
        return f" (it belongs {' or '.join(places)})"
    everywhere = {alias: part for part, each in parts.items() for alias, _ in _fields(each)}
    if close := get_close_matches(str(name), everywhere, 1):
        return f" (did you mean {'.'.join(filter(None, (everywhere[close[0]], close[0])))}?)"
    return f" (known here: {', '.join(own)})" if own else ""


def _parts(model: type[BaseModel], under: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and the models of its tables, by dotted name."""
    yield under, model
    for alias, info in _fields(model):
        for part in (info.annotation, *get_args(info.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _parts(part, f"{under}.{alias}".lstrip("."))


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _field(path: toml.Path, model: type[BaseModel]) -> Any:
    *table, name = [key for key in path if isinstance(key, str)]
    part = dict(_parts(model)).get(".".join(table))
    return dict(_fields(part)).get(name) if part else None
