"""What the page of a drive draws of its pairs' windows."""

from __future__ import annotations

import numpy as np

from calibrate.rig.page.charts import LENGTHEN_WINDOWS, window_coverage, window_residuals
from calibrate.rig.targetless import Drive
from edgefusion.core.geometry import Registration, resize_map
from edgefusion.registration import Windows

SIZES = ((420, 420), (210, 210))  # a panel is 420 wide
CENTRES = np.array([[100.0, 100.0], [140.0, 100.0], [100.0, 140.0]])


def drive(*pairs: tuple[list[list[float]], list[bool]]) -> Drive:
    """Of these shifts, and which of them agree, of each pair."""
    windows = [Windows(CENTRES, np.array(shifts), np.array(agrees)) for shifts, agrees in pairs]
    registration = Registration(resize_map(*SIZES))
    names = [str(number) for number in range(len(pairs))]
    return Drive(registration, None, 0.5, 0.5, None, SIZES, names, [], windows, {}, None, [])


FOUND = drive(
    ([[1.0, 0.0], [9.0, 9.0], [0.0, 2.0]], [True, False, True]),
    ([[3.0, 0.0], [9.0, 9.0], [9.0, 9.0]], [True, False, False]),
)


def test_residuals_are_of_windows_that_agree_over_the_pairs_and_in_each() -> None:
    median, each = window_residuals(FOUND)
    assert median.path == f"M100.0 100.0l{2 * LENGTHEN_WINDOWS}.0 0.0M100.0 140.0l0.0 {2 * LENGTHEN_WINDOWS}.0"
    assert each.path.count("M") == 3
    assert f"M{each.x + 100:.1f} 100.0l{3 * LENGTHEN_WINDOWS}.0 0.0" in each.path
    assert "RMS 2.0 px" in median.note


def test_coverage_is_larger_where_more_pairs_agree_and_is_in_both_images() -> None:
    visible, thermal = window_coverage(FOUND)
    assert visible.path.startswith("M80.0 80.0h40.0v40.0h-40.0z")
    assert visible.path.count("M") == thermal.path.count("M") == 2
    assert "67% of the windows agree in half of the pairs or more" in visible.note
    assert thermal.path.startswith(f"M{thermal.x + 79.5:.1f} 79.5h40.0")  # half as many pixels, drawn twice as large


def test_a_drive_of_which_no_window_agrees_is_drawn_empty() -> None:
    none = drive(([[9.0, 9.0]] * 3, [False] * 3))
    assert [panel.path for panel in (*window_residuals(none), *window_coverage(none))] == [""] * 4
