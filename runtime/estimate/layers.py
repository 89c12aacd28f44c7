"""The kernels a compiler would make of a graph: what each computes, reads and writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgefusion.core.bundle import Precision
from runtime.estimate.graph import CONVOLUTIONS, TRANSPOSED, Operation

ASSUMPTIONS = (
    "One launch for a convolution with its bias, activation and quantization; one for the element-wise operations "
    "and slices that hang together; one for any other operation."
)
VIEWS = frozenset({"Slice", "StridedSlice", "Reshape", "Squeeze", "Unsqueeze"})
PARTS = VIEWS | {"Gather"}
"""What may take less than the whole of a tensor: as much as it gives."""
POINTWISE = VIEWS | {
    "Abs", "Add", "Clamp", "Convert", "Divide", "Elu", "Erf", "Exp", "FakeQuantize", "Floor", "Gelu", "HSigmoid",
    "HSwish", "HardSigmoid", "Log", "Maximum", "Minimum", "Mish", "Multiply", "Negative", "PRelu", "Power", "Relu",
    "Round", "Sigmoid", "SoftPlus", "Sqrt", "Subtract", "Swish", "Tanh",
}  # fmt: skip
FREE = VIEWS | {"Convert"}
ENDS = ("Parameter", "Result")


@dataclass(frozen=True)
class Layer:
    """One launch.

    Attributes:
        name: in the ONNX file.
        compute: the number format of its arithmetic.
        macs: multiply-accumulates.
        operations: two per multiply-accumulate, one per element of an element-wise operation.
        bytes_read: activations.
        bytes_written: activations.
        weight_bytes: weights, biases, scales.
    """

    name: str
    compute: Precision
    macs: int
    operations: int
    bytes_read: int
    bytes_written: int
    weight_bytes: int

    @property
    def traffic(self) -> int:
        """Bytes read and written."""
        return self.bytes_read + self.bytes_written + self.weight_bytes


@dataclass(frozen=True)
class Model:
    """A model's launches in order, and the bytes of its input and output."""

    layers: tuple[Layer, ...]
    io_bytes: int


def fuse(operations: Sequence[Operation]) -> Model:
    """Group operations into launches, as ``ASSUMPTIONS`` says, and count what crosses between them."""
    groups = _groups(operations)
    stored = _stored(operations, groups)
    members: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        members[groups[operation.name]].append(operation)
    links = ((operation, source.name) for operation in operations for source in operation.sources)
    used = {source for operation, source in links if _crosses(operation, source, groups)}
    place = {operation.name: number for number, operation in enumerate(operations)}
    launches = [group for group in members.values() if group[0].kind not in ENDS]
    launches.sort(key=lambda group: place[group[-1].name])
    ends = [operation for operation in operations if operation.kind in ENDS]
    return Model(
        tuple(_layer(group, groups, stored, used) for group in launches),
        sum(operation.elements * operation.width for operation in ends),
    )


def _crosses(operation: Operation, source: str, groups: dict[str, str]) -> bool:
    return groups[operation.name] != groups[source]


def _layer(group: list[Operation], groups: dict[str, str], stored: dict[str, int], used: set[str]) -> Layer:
    weights = {name: size for operation in group for name, size in operation.weights.items()}
    macs = sum(operation.macs for operation in group)
    single = sum(operation.elements for operation in group if not operation.macs and operation.kind not in FREE)
    main = max(group, key=lambda operation: operation.macs) if macs else group[-1]
    return Layer(
        name=main.label,
        compute="int8" if macs and main.int8 else "fp16" if group[-1].width == 2 else "fp32",
        macs=macs,
        operations=2 * macs + single,
        bytes_read=_read(group, groups, stored),
        bytes_written=sum(operation.elements * stored[operation.name] for operation in group if operation.name in used),
        weight_bytes=sum(weights.values()),
    )


def _read(group: Iterable[Operation], groups: dict[str, str], stored: dict[str, int]) -> int:
    """Bytes a launch takes from others: what it uses of each tensor, each element once."""
    whole: dict[str, int] = {}
    wanted: dict[str, int] = defaultdict(int)
    for operation in group:
        for source in operation.sources:
            if _crosses(operation, source.name, groups):
                whole[source.name] = source.elements
                wanted[source.name] += operation.elements if operation.kind in PARTS else source.elements
    return sum(min(wanted[name], whole[name]) * stored[name] for name in whole)


def _stored(operations: Sequence[Operation], groups: dict[str, str]) -> dict[str, int]:
    """Bytes per element in which each operation's output crosses to another launch.

    That is the narrowest format on the chain of one-input operations that leads to it: the reader repeats the rest.
    So a quantized tensor is stored as integers, though the graph dequantizes it at once.
    """
    stored: dict[str, int] = {}
    for operation in operations:
        stored[operation.name] = operation.width
        if operation.kind in POINTWISE and len(operation.sources) == 1:
            source = operation.sources[0].name
            if not _crosses(operation, source, groups):
                stored[operation.name] = min(operation.width, stored[source])
    return stored


def _groups(operations: Sequence[Operation]) -> dict[str, str]:
    """Operation -> the operation that names its launch."""
    groups = _follow_convolutions(operations)
    levels = _levels(operations, groups)
    for operation in operations:
        for source in operation.sources:
            loose = operation.name in levels and source.name in levels
            if loose and levels[operation.name] == levels[source.name]:
                _join(groups, groups[operation.name], groups[source.name])
    return groups


def _join(groups: dict[str, str], old: str, new: str) -> None:
    groups.update({name: new for name, group in groups.items() if group == old})


def _follow_convolutions(operations: Sequence[Operation]) -> dict[str, str]:
    """What follows a convolution, takes nothing else and is its only reader, is part of its launch."""
    readers: dict[str, int] = defaultdict(int)
    for operation in operations:
        for source in operation.sources:
            readers[source.name] += 1
    heads = {op.name for op in operations if op.kind in (*CONVOLUTIONS, *TRANSPOSED, "MatMul")}
    groups: dict[str, str] = {}
    for operation in operations:
        before = operation.sources[0].name if len(operation.sources) == 1 else ""
        follows = operation.kind in POINTWISE and groups.get(before) in heads and readers[before] == 1
        groups[operation.name] = groups[before] if follows else operation.name
    return groups


def _levels(operations: Sequence[Operation], groups: dict[str, str]) -> dict[str, int]:
    """Element-wise operation of no convolution -> how many launches may come before it, as late as its readers allow.

    Two of one level have no convolution between them, so that joining them never makes a circle.
    """
    depth: dict[str, int] = {}
    loose = {op.name for op in operations if op.kind in POINTWISE and groups[op.name] == op.name}
    for operation in operations:
        before = max((depth[source.name] for source in operation.sources), default=0)
        heads = operation.name not in loose and groups[operation.name] == operation.name
        depth[operation.name] = before + heads
    latest: dict[str, int] = {}
    for operation in reversed(operations):
        limit = latest[operation.name] if operation.name in loose else depth[operation.name] - 1
        for source in operation.sources:
            latest[source.name] = min(latest.get(source.name, limit), limit)
    return {name: latest[name] for name in loose}
