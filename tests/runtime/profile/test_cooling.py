from __future__ import annotations

import threading
import time

from runtime.profile.cooling import WARMER_C, cool_down, pause_s

BEFORE = {"cpu": 40.0, "gpu": 42.0}


def cool(readings, **options) -> bool:
    return cool_down(
        readings, BEFORE, duration_s=1.0, stop=options.pop("stop", threading.Event()), poll_s=0.001, **options
    )  # fmt: skip


def test_it_waits_until_every_zone_is_as_cool_as_before() -> None:
    warmer = iter([9.0, 6.0, WARMER_C + 0.1, WARMER_C, 0.0])
    assert cool(lambda: {"cpu": 40.0, "gpu": 42.0 + next(warmer)})
    assert list(warmer) == [0.0]


def test_it_goes_on_as_it_is_after_the_longest_wait() -> None:
    assert not cool(lambda: {"gpu": 90.0}, longest_s=0.02)


def test_a_zone_that_can_no_longer_be_read_is_not_waited_for() -> None:
    assert cool(lambda: {"cpu": 40.0})


def test_stop_ends_the_wait() -> None:
    stop = threading.Event()
    stop.set()
    assert not cool(lambda: {"gpu": 90.0}, stop=stop)


def test_without_temperatures_it_pauses_for_a_tenth_of_a_run() -> None:
    assert (pause_s(1.0), pause_s(600.0)) == (0.1, 30.0)
    begin = time.monotonic()
    assert cool_down(dict, {}, duration_s=0.5, stop=threading.Event())
    assert time.monotonic() - begin >= 0.05
