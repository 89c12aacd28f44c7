"""The log of a run: one line on standard error for each change of state, as text or as JSON.

Lines go through the standard logger ``edgefusion``, so a program that uses the library can send them elsewhere.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal

Form = Literal["text", "json"]
LOGGER = logging.getLogger("edgefusion")


@dataclass(frozen=True)
class Event:
    """What changed; the message of its log record. As text: ``camera rig=front side=thermal state=lost``."""

    name: str
    facts: Mapping[str, Any]

    def __str__(self) -> str:
        return " ".join([self.name, *(f"{key}={_word(value)}" for key, value in self.facts.items())])


def event(name: str, /, **facts: Any) -> None:
    """Log that something changed its state; from any thread.

    Args:
        name: what changed: ``camera``, ``run`` ...
        facts: which one, its state, and why.
    """
    LOGGER.info(Event(name, facts))


def configure(form: Form) -> None:
    """Write every event to standard error, as text or one JSON object a line; calling it again changes the form."""
    for handler in [each for each in LOGGER.handlers if isinstance(each, _Stderr)]:
        LOGGER.removeHandler(handler)
    handler = _Stderr()
    handler.setFormatter(_Json() if form == "json" else _Text())
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


class _Stderr(logging.Handler):
    """Standard error as it is when a line is written: it may have been redirected since."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):  # nobody reads it any more: that is no reason to end a run
            self.handleError(record)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_time(record)} {record.getMessage()}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        found = record.msg if isinstance(record.msg, Event) else Event(record.getMessage(), {})
        return json.dumps({"time": _time(record), "event": found.name, **found.facts}, default=str)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(value: Any) -> str:
    """A value without a blank or a line break outside quotes."""
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    text = str(value)
    plain = text.isprintable() and text and not set(text) & set(" \"'=")
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())
