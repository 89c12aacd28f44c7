"""Everything at once: a writer at full speed that is killed, readers of every kind that are killed, none torn."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

import pytest
from rings import heard, process

from edgefusion import read_status

TURNS = 12


@pytest.mark.slow
def test_random_kills_at_full_speed_tear_nothing(name: str) -> None:
    chance = random.Random(7)
    with ExitStack() as stack:
        steady = [stack.enter_context(process("read", name, 4000, lease, 0.0)) for lease in (1, 1, 0)]
        slow = stack.enter_context(process("read", name, 150, 1, 0.05))
        for turn in range(TURNS):
            with process("write", name, 10**6 * turn, 10**9, 0.0) as writer:
                assert heard(writer) == "begun"
                before = read_status(name).published
                with process("read", name, 10**9, 1, 0.01) as victim:
                    assert heard(victim) == "subscribed"
                    time.sleep(chance.uniform(0.2, 1.0))
                    victim.kill()
                    victim.wait()
                    time.sleep(chance.uniform(0.0, 0.5))
                status = read_status(name)
                assert status.published > before
                if turn == TURNS - 1:
                    for reader in (*steady, slow):
                        assert heard(reader) == "subscribed"
                        assert heard(reader) == "0 0"
                writer.kill()
                writer.wait()
