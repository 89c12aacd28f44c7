"""Loads and stores whose order other processors see: on ARM, Python's own have none.

Written as LLVM instructions and compiled for this processor when the first ring is opened (some 20 ms), since neither
Python nor NumPy has any. An address is that of a 64-bit word in shared memory. A load acquires: what follows it
stays behind it. A store releases: what precedes it stays before it. ``fence`` lets nothing pass in either direction.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

_WORD = ir.IntType(64)
_OPAQUE_POINTERS = 20
"""From this LLVM on llvmlite initialises itself, and says that a call to do so is an error."""


@dataclass(frozen=True)
class Atomics:
    """The compiled functions.

    Attributes:
        load: (address) -> the word, acquired.
        store: (address, word), released.
        exchange: (address, expected, word) -> what was there; the word is stored if that was expected.
        set_bits, clear_bits, add: (address, word) -> what was there.
        leased: (address, count, stride) -> all bits of those of ``count`` pairs (owner, bits) that have an owner.
        fence: ().
    """

    load: Callable[[int], int]
    store: Callable[[int, int], None]
    exchange: Callable[[int, int, int], int]
    set_bits: Callable[[int, int], int]
    clear_bits: Callable[[int, int], int]
    add: Callable[[int, int], int]
    leased: Callable[[int, int, int], int]
    fence: Callable[[], None]


_ARGUMENTS = {
    "load": 1, "store": 2, "exchange": 3, "set_bits": 2, "clear_bits": 2, "add": 2, "leased": 3, "fence": 0,
}  # fmt: skip


def instructions() -> str:
    """The functions as LLVM's assembly, for any processor."""
    module = ir.Module("edgefusion_ring")
    for name, count in _ARGUMENTS.items():
        result = ir.VoidType() if name in ("store", "fence") else _WORD
        function = ir.Function(module, ir.FunctionType(result, [_WORD] * count), f"edgefusion_{name}")
        _BODIES[name](ir.IRBuilder(function.append_basic_block()), *function.args)
    return str(module)


def _pointer(build: Any, address: Any) -> Any:
    return build.inttoptr(address, _WORD.as_pointer())


def _load(build: Any, address: Any) -> None:
    build.ret(build.load_atomic(_pointer(build, address), "acquire", 8))


def _store(build: Any, address: Any, word: Any) -> None:
    build.store_atomic(word, _pointer(build, address), "release", 8)
    build.ret_void()


def _exchange(build: Any, address: Any, expected: Any, word: Any) -> None:
    pair = build.cmpxchg(_pointer(build, address), expected, word, "seq_cst", "seq_cst")
    build.ret(build.extract_value(pair, 0))


def _set_bits(build: Any, address: Any, word: Any) -> None:
    build.ret(build.atomic_rmw("or", _pointer(build, address), word, "seq_cst"))


def _clear_bits(build: Any, address: Any, word: Any) -> None:
    build.ret(build.atomic_rmw("and", _pointer(build, address), build.not_(word), "seq_cst"))


def _add(build: Any, address: Any, word: Any) -> None:
    build.ret(build.atomic_rmw("add", _pointer(build, address), word, "seq_cst"))


def _fence(build: Any) -> None:
    build.fence("seq_cst")
    build.ret_void()


def _leased(build: Any, address: Any, count: Any, stride: Any) -> None:
    entry, loop, done = build.block, build.append_basic_block(), build.append_basic_block()
    build.branch(loop)
    build.position_at_end(loop)
    index, bits = build.phi(_WORD), build.phi(_WORD)
    here = build.add(address, build.mul(index, stride))
    owner = build.load_atomic(_pointer(build, here), "acquire", 8)
    theirs = build.load_atomic(_pointer(build, build.add(here, _WORD(8))), "acquire", 8)
    taken = build.or_(bits, build.select(build.icmp_unsigned("!=", owner, _WORD(0)), theirs, _WORD(0)))
    following = build.add(index, _WORD(1))
    for value, first, later in ((index, _WORD(0), following), (bits, _WORD(0), taken)):
        value.add_incoming(first, entry)
        value.add_incoming(later, loop)
    build.cbranch(build.icmp_unsigned("<", following, count), loop, done)
    build.position_at_end(done)
    build.ret(taken)


_BODIES: dict[str, Callable[..., None]] = {
    "load": _load, "store": _store, "exchange": _exchange, "set_bits": _set_bits, "clear_bits": _clear_bits,
    "add": _add, "leased": _leased, "fence": _fence,
}  # fmt: skip


def assembly(triple: str) -> str:
    """What LLVM makes of them for another processor, such as ``aarch64-linux-gnu``."""
    _initialise()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=2)
    module = llvm.parse_assembly(instructions())
    text: str = machine.emit_assembly(module)
    return text


@cache
def atomics() -> Atomics:
    """The functions, compiled for this processor."""
    _initialise()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(instructions())
    engine = llvm.create_mcjit_compiler(module, llvm.Target.from_default_triple().create_target_machine(opt=2))
    engine.finalize_object()
    functions = {name: _callable(name, engine.get_function_address(f"edgefusion_{name}")) for name in _ARGUMENTS}
    engine.detach()  # the code stays for good: frames give back their leases until the interpreter is gone
    return Atomics(**functions)


def _initialise() -> None:
    if llvm.llvm_version_info[0] < _OPAQUE_POINTERS:
        llvm.initialize()


def _callable(name: str, address: int) -> Any:
    """The interpreter's lock is kept: none of them waits."""
    result = None if name in ("store", "fence") else ctypes.c_uint64
    return ctypes.PYFUNCTYPE(result, *[ctypes.c_uint64] * _ARGUMENTS[name])(address)
