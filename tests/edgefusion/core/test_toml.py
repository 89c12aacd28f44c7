from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefusion.core import toml

EVERY_NUMBER_IS_ITS_LINE = r"""a = 1
# b = 0
c.d = 3
"quo\"ted #".'x.y' = 4
many = [5, 5, [
  6, # ] not the end, "nor this
  7,
], 8]
inline = { e = 9, f.g = 9, h = [9, { i = 9 }] }

text = '''
[not.a.table]
k = 0 ''
'''

other = '''it''s'''
more = "a \" [x] # no comment"
lines = ["[", ']', "#", '''
multi
''', 20]

[table] # with a comment
  x = 23
  [table."deep er".z]
  y = 25
[[output]]
to = 27
[output.more]
n = 29
[[output]]
to = 31
sub = [ ]
[[output.inner]]
q = 34
[[output.inner]]
q = 36
[ spaced . name ]
v = 38
""".replace("'''", '"""')


def numbers(value: Any, path: toml.Path = ()) -> Iterator[tuple[toml.Path, int]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield from numbers(member, (*path, key))
    if isinstance(value, int):
        yield path, value


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_value_is_found_in_its_line(ending: str) -> None:
    text = EVERY_NUMBER_IS_ITS_LINE.replace("\n", ending)
    lines = toml.Lines(text)
    found = list(numbers(toml.loads(text)))
    assert len(found) == 21
    for path, line in found:
        assert lines.of(path) == line, path


def test_what_is_missing_is_placed_at_its_table() -> None:
    lines = toml.Lines("a = 1\n\n[visible]\nfps = 3\n[[output]]\nto = ''\n[[output]]\n")
    assert lines.of(("visible", "format")) == 3
    assert lines.of(("output", 1, "to")) == 7
    assert lines.of(("thermal", "format")) is None


KEY = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
VALUE = st.sampled_from(
    ["{n}", '"""\n[a]\n"""', "[{n}, {n}]", "[\n{n},\n]", "{{ q = {n} }}", '"\\""', "'#'", "1e3 # [", "1979-05-27"]
)


@given(st.lists(st.tuples(st.sampled_from(["", "[{k}]", "[[{k}]]"]), KEY, KEY, VALUE), max_size=8))
def test_any_document_is_walked_to_its_end(parts: list[tuple[str, str, str, str]]) -> None:
    text = "".join(
        (header.format(k=table) + "\n" if header else "") + f"{key} = {value.format(n=1)}\n"
        for header, table, key, value in parts
    )
    try:
        data = toml.loads(text)
    except toml.TOMLDecodeError:
        return
    written = text.splitlines()
    lines = toml.Lines(text)
    for path, _ in numbers(data):
        line = lines.of(path)
        assert line is not None
        assert "1" in written[line - 1], (path, line)
