"""Order in memory: what the processor is really told."""

from __future__ import annotations

import ctypes
import re
import threading

import numpy as np
import pytest

from edgefusion.ring.atomics import assembly, atomics

_BODY = r"^edgefusion_{}:\n(.*?)^\.Lfunc_end"


@pytest.fixture
def words() -> np.ndarray:
    return np.zeros(8, np.uint64)


def test_on_arm_each_function_has_the_instruction_that_orders_memory() -> None:
    text = assembly("aarch64-linux-gnu")
    expected = {
        "load": r"\bldar\b",
        "store": r"\bstlr\b",
        "exchange": r"\b(ldaxr|casal)\b",
        "set_bits": r"\b(ldaxr|ldsetal)\b",
        "clear_bits": r"\b(ldaxr|ldclral)\b",
        "add": r"\b(ldaxr|ldaddal)\b",
        "leased": r"\bldar\b",
        "fence": r"\bdmb\s+ish\b",
    }
    for function, instruction in expected.items():
        found = re.search(_BODY.format(function), text, re.MULTILINE | re.DOTALL)
        assert found, function
        assert re.search(instruction, found[1]), found[1]


def test_words_are_read_and_changed(words: np.ndarray) -> None:
    do, address = atomics(), words.ctypes.data
    do.store(address, 2**64 - 1)
    assert do.load(address) == 2**64 - 1
    assert do.exchange(address, 5, 6) == 2**64 - 1
    assert do.exchange(address, 2**64 - 1, 6) == 2**64 - 1
    assert (do.set_bits(address, 9), do.clear_bits(address, 3), do.add(address, 4), words[0]) == (6, 15, 12, 16)


def test_bits_of_entries_without_an_owner_do_not_count(words: np.ndarray) -> None:
    words[:] = [0, 1, 7, 2, 0, 4, 9, 8]
    assert atomics().leased(words.ctypes.data, 4, 16) == 2 | 8


def test_nothing_is_lost_when_threads_add_at_the_same_time(words: np.ndarray) -> None:
    add = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)  # lets threads run while it adds
    address = ctypes.cast(atomics().add, ctypes.c_void_p).value
    assert address
    function, at = add(address), words.ctypes.data

    def work() -> None:
        for _ in range(20_000):
            function(at, 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert words[0] == 80_000
