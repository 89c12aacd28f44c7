"""The standard TOML reader, also on Python 3.10, which lacks it; and the line of a value, which it does not tell."""

from __future__ import annotations

import re
import sys

if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError, loads
else:
    from tomli import TOMLDecodeError, loads

__all__ = ["Lines", "TOMLDecodeError", "loads"]

Path = tuple[str | int, ...]
"""Keys from the outside in; numbers count in arrays, from 0."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
_SIMPLE = re.compile(r"[^,\]}#\n]*")


class Lines:
    """In which line of a TOML text each key and each item of an array stands.

    Args:
        text: valid TOML; what ``loads`` takes.
    """

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}  # how many tables an array of tables has so far
        self._document()

    def of(self, path: Path) -> int | None:
        """The line, from 1, of the value at a path, or of what it is in; None if nothing of the path is there."""
        for length in range(len(path), 0, -1):
            if line := self._lines.get(path[:length]):
                return line
        return None

    def _document(self) -> None:
        table: Path = ()
        while self._skip() < len(self._text):
            table = self._header() if self._text[self._at] == "[" else self._entry(table)

    def _header(self) -> Path:
        """``[table]`` or ``[[table]]``: the path that the entries below it are in."""
        start, many = self._at, self._text.startswith("[[", self._at)
        self._skip(1 + many)
        path = self._path_of((), self._key(), start)
        if many:
            self._lines.setdefault(path, self._line(start))
            number = self._tables[path] = self._tables.get(path, -1) + 1
            path = (*path, number)
        self._lines[path] = self._line(start)
        self._skip()
        self._at += 1 + many
        return path

    def _entry(self, table: Path) -> Path:
        start = self._at
        path = self._path_of(table, self._key(), start)
        self._lines[path] = self._line(start)
        self._skip()
        self._skip(1)  # the equals sign
        self._value(path)
        return table

    def _value(self, path: Path) -> None:
        first = self._text[self._at : self._at + 1]
        if first == "[":
            self._items(path)
        elif first == "{":
            self._members(path)
        else:
            match = _STRING.match(self._text, self._at) or _SIMPLE.match(self._text, self._at)
            self._at = match.end() if match else self._at

    def _items(self, path: Path) -> None:
        self._skip(1)
        number = 0
        while self._text[self._at] != "]":
            item = (*path, number)
            self._lines[item] = self._line(self._at)
            self._value(item)
            self._comma()
            number += 1
        self._at += 1

    def _members(self, path: Path) -> None:
        self._skip(1)
        while self._text[self._at] != "}":
            self._entry(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        self._skip()
        if self._text[self._at] == ",":
            self._skip(1)

    def _key(self) -> list[str]:
        match = _KEY.match(self._text, self._at)
        if match is None:
            raise ValueError(f"no key in line {self._line(self._at)}")
        self._at = match.end()
        return _parts(match[0])

    def _path_of(self, table: Path, keys: list[str], start: int) -> Path:
        """The path of a key; a key that names an array of tables means its last one."""
        path = table
        for number, key in enumerate(keys):
            path = (*path, key)
            if number < len(keys) - 1:
                self._lines.setdefault(path, self._line(start))
                path = (*path, self._tables[path]) if path in self._tables else path
        return path

    def _skip(self, more: int = 0) -> int:
        """Go on by ``more`` and over blanks, line breaks and comments."""
        match = _BLANK.match(self._text, self._at + more)
        self._at = match.end() if match else self._at + more
        return self._at

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1


def _parts(key: str) -> list[str]:
    """The keys of a dotted key, without their quotes."""
    table, parts = loads(f"{key} = 0"), []
    while isinstance(table, dict):
        [(name, table)] = table.items()
        parts.append(name)
    return parts
