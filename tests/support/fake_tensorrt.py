"""A ``tensorrt`` of any recorded version: it has the names that version has, no others, and writes down every call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDED = json.loads((Path(__file__).parents[1] / "runtime" / "engines" / "surfaces.json").read_text())
VERSIONS: list[str] = RECORDED["versions"]

OWN = {"shape", "nptype"}
"""Names that are no part of the extension: those of NumPy and of the package's Python files."""


class Surface:
    """The names of one version."""

    def __init__(self, version: str) -> None:
        self.version, self._column = version, VERSIONS.index(version)

    def has(self, name: str) -> bool:
        return name in OWN or RECORDED["names"].get(name, "")[self._column : self._column + 1] == "1"


class Fake:
    """Any object of the library: attributes must be names of the version, calls return what was arranged or a Fake."""

    def __init__(self, surface: Surface, path: str, calls: list[tuple[str, Any]], returns: dict[str, Any]) -> None:
        self.__dict__.update(_surface=surface, _path=path, _calls=calls, _returns=returns)

    def _child(self, path: str) -> Any:
        return self._returns[path] if path in self._returns else Fake(self._surface, path, self._calls, self._returns)

    def __getattr__(self, name: str) -> Any:
        if not self._surface.has(name):
            raise AttributeError(f"TensorRT {self._surface.version} has no {name} ({self._path})")
        return self._child(f"{self._path}.{name}".lstrip("."))

    def __setattr__(self, name: str, value: Any) -> None:
        getattr(self, name)
        self._calls.append((f"{self._path}.{name}=", value))

    def __call__(self, *words: Any, **named: Any) -> Any:
        self._calls.append((self._path, words))
        result = self._child(f"{self._path}()")
        return result(*words) if callable(result) and not isinstance(result, Fake) else result

    def __int__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return str(self._path)


class Base:
    """What Python classes of ours derive from: loggers, profilers, calibrators."""

    class Severity:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class Logger(Base):
    """The one that comes with the library."""

    ERROR = Base.Severity.ERROR

    def __init__(self, severity: int = ERROR) -> None:
        self.severity = severity


class FakeTensorRt(Fake):
    """The module.

    Attributes:
        calls: (path, arguments) of every call, (path=, value) of every attribute that was set.
    """

    def __init__(self, version: str, layers: list[dict[str, Any]], **returns: Any) -> None:
        surface = Surface(version)
        self.__dict__.update(calls=[], __version__=version, Logger=Logger)
        inspector = "Runtime().deserialize_cuda_engine().create_engine_inspector().get_engine_information()"
        arranged = {
            "Builder().build_serialized_network()": b"plan",
            "OnnxParser().parse()": True,
            "OnnxParser().num_errors": 0,
            "Builder().create_builder_config().get_timing_cache().serialize()": b"timings",
            inspector: json.dumps({"Layers": layers}),
            **returns,
        }
        bases = {name: Base for name in ("ILogger", "IProfiler", "IInt8EntropyCalibrator2") if surface.has(name)}
        super().__init__(surface, "", self.calls, {**arranged, **bases})

    def said(self, path: str) -> list[Any]:
        """What was given to every call, or set, whose path ends so."""
        return [given for called, given in self.calls if called.endswith(path)]
