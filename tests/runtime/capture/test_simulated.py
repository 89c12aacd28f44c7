"""The simulated rig: the same drive every time, exact registration, true boxes, and physics in the right order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edgefusion.core.errors import EdgeFusionError
from edgefusion.core.frames import PixelFormat
from edgefusion.core.geometry import apply
from runtime.capture.simulated import Box, SimulatedRig

Floats = npt.NDArray[np.float32]

FRAMES = [(seed, index) for seed in (0, 1, 2, 3) for index in (0, 210, 420)]


def luma(rig: SimulatedRig, index: int) -> Floats:
    return np.asarray(cv2.cvtColor(rig.render(index).visible.pixels, cv2.COLOR_RGB2GRAY), np.float32)


def thermal_over_visible(rig: SimulatedRig, index: int) -> Floats:
    """The thermal counts that each visible pixel shows."""
    counts = rig.render(index).thermal.pixels.astype(np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(counts, rig.registration, rig.visible_size_px, flags=flags), np.float32)


def people(rig: SimulatedRig, index: int) -> list[Box]:
    """Those near enough and free enough to be measured."""
    width, height = rig.visible_size_px
    return [
        box
        for box in rig.boxes(index)
        if box.label == "person"
        and 7 < box.distance_m < 32
        and box.visibility > 0.95
        and box.x0 > 12
        and box.x1 < width - 12
        and box.y1 < height - 12
    ]


def inside_and_around(image: Floats, box: Box) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Pixels of the middle of a box, and of a frame of 6 px around it."""
    x0, y0, x1, y1 = (round(value) for value in (box.x0, box.y0, box.x1, box.y1))
    third = (x1 - x0) // 3
    ring = np.zeros(image.shape, bool)
    ring[max(y0 - 8, 0) : y1 + 9, max(x0 - 8, 0) : x1 + 9] = True
    ring[max(y0 - 2, 0) : y1 + 3, max(x0 - 2, 0) : x1 + 3] = False
    return image[y0 : y1 + 1, x0 + third : x1 + 1 - third], image[ring]


def contrast(image: Floats, box: Box) -> float:
    """How far the inside differs from the surroundings, in deviations of both."""
    inside, around = inside_and_around(image, box)
    spread = float(np.hypot(inside.std(), around.std()))
    return abs(float(inside.mean() - around.mean())) / max(spread, 1e-3)


def test_a_frame_is_the_same_whatever_was_rendered_before() -> None:
    alone = SimulatedRig(seed=3).render(40)
    rig = SimulatedRig(seed=3)
    for index in (90, 0, 41):
        rig.render(index)
    again = rig.render(40)
    assert np.array_equal(alone.visible.pixels, again.visible.pixels)
    assert np.array_equal(alone.thermal.pixels, again.thermal.pixels)
    assert SimulatedRig(seed=3).boxes(40) == rig.boxes(40)


def test_frames_and_seeds_differ() -> None:
    first = SimulatedRig(seed=3).render(40)
    for other in (SimulatedRig(seed=3).render(41), SimulatedRig(seed=4).render(40)):
        assert not np.array_equal(first.visible.pixels, other.visible.pixels)
        assert not np.array_equal(first.thermal.pixels, other.thermal.pixels)


def test_frames_are_the_callers_to_keep() -> None:
    rig = SimulatedRig()
    kept = rig.render(0)
    before = kept.visible.pixels.copy(), kept.thermal.pixels.copy()
    later = rig.render(1)
    assert not np.shares_memory(kept.visible.pixels, later.visible.pixels)
    assert np.array_equal(kept.visible.pixels, before[0])
    assert np.array_equal(kept.thermal.pixels, before[1])


def test_threads_do_not_disturb_one_another() -> None:
    rig, indices = SimulatedRig(seed=1), range(12)
    alone = [rig.render(index).visible.pixels for index in indices]
    with ThreadPoolExecutor(3) as pool:
        together = [pair.visible.pixels for pair in pool.map(rig.render, indices)]
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_a_drive_has_no_end() -> None:
    rig = SimulatedRig(seed=1)
    day = rig.render(24 * 3600 * 30)
    assert day.visible.pixels.std() > 10
    assert day.thermal.pixels.std() > 50


def test_time_passes_by_the_frame_rate() -> None:
    pair = SimulatedRig(fps=25.0).render(50)
    for frame in (pair.visible, pair.thermal):
        assert (frame.timestamp_ns, frame.clock, frame.sequence) == (2_000_000_000, "monotonic", 50)


@pytest.mark.parametrize("visible", [PixelFormat.RGB24, PixelFormat.NV12])
@pytest.mark.parametrize("thermal", [PixelFormat.Y16, PixelFormat.GREY])
def test_formats(visible: PixelFormat, thermal: PixelFormat) -> None:
    rig = SimulatedRig(
        visible_size_px=(320, 200), thermal_size_px=(161, 129), visible_format=visible, thermal_format=thermal
    )
    pair = rig.render(3)
    assert (pair.visible.format, pair.visible.size_px) == (visible, (320, 200))
    assert (pair.thermal.format, pair.thermal.size_px) == (thermal, (161, 129))


def test_nv12_shows_the_same_as_rgb() -> None:
    rgb = SimulatedRig(seed=1).render(100).visible.pixels
    nv12 = SimulatedRig(seed=1, visible_format=PixelFormat.NV12).render(100).visible.pixels
    back = cv2.cvtColor(nv12, cv2.COLOR_YUV2RGB_NV12)
    # Chroma is shared by four pixels, so that only their mean colour comes back.
    means = [cv2.resize(each, (320, 240), interpolation=cv2.INTER_AREA).astype(np.float32) for each in (rgb, back)]
    assert np.abs(means[0] - means[1]).mean() < 1.0
    grey = [cv2.cvtColor(each, cv2.COLOR_RGB2GRAY).astype(np.float32) for each in (rgb, back)]
    assert np.abs(grey[0] - grey[1]).mean() < 1.5


def test_thermal_counts_have_14_bits_and_grey_shows_them() -> None:
    counts = SimulatedRig(seed=1).render(100).thermal.pixels
    grey = SimulatedRig(seed=1, thermal_format=PixelFormat.GREY).render(100).thermal.pixels
    assert counts.min() > 6500
    assert counts.max() < 11000
    shown = (grey > 0) & (grey < 255)
    assert shown.mean() > 0.9
    assert np.corrcoef(counts[shown], grey[shown])[0, 1] > 0.999


@pytest.mark.parametrize(
    ("visible", "thermal"), [((640, 480), (320, 256)), ((1280, 720), (640, 512)), ((333, 401), (80, 60))]
)
def test_thermal_covers_the_visible_image(visible: tuple[int, int], thermal: tuple[int, int]) -> None:
    rig = SimulatedRig(visible_size_px=visible, thermal_size_px=thermal)
    (w, h), (width, height) = visible, thermal
    points = apply(rig.registration, [(0, 0), (w - 1, 0), (0, h - 1), (w - 1, h - 1)])
    assert (points >= -0.5).all()
    assert (points <= np.array([width, height]) - 0.5).all()


def test_registration_aligns_what_both_cameras_see() -> None:
    """Road paint is bright in visible and cold in thermal: the two agree best where the registration says."""
    scores: dict[tuple[int, int], float] = {}
    for index in (0, 100, 200, 300):
        rig = SimulatedRig(seed=1)
        pictures = [
            cv2.GaussianBlur(each, (0, 0), 1.5) for each in (luma(rig, index), thermal_over_visible(rig, index))
        ]
        visible, thermal = (each - cv2.GaussianBlur(each, (0, 0), 8) for each in pictures)
        road = (slice(270, 460), slice(20, 620))
        for dy in range(-4, 5):
            for dx in range(-4, 5):
                moved = np.roll(thermal, (dy, dx), (0, 1))[road]
                scores[dx, dy] = scores.get((dx, dy), 0.0) - float((visible[road] * moved).mean())
    best = max(scores, key=scores.__getitem__)
    assert scores[best] > 0
    assert max(abs(best[0]), abs(best[1])) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_people_are_hot_in_their_boxes(seed: int) -> None:
    rig, found = SimulatedRig(seed=seed), 0
    for index in range(0, 600, 60):
        counts = thermal_over_visible(rig, index)
        for box in people(rig, index):
            inside, around = inside_and_around(counts, box)
            assert np.median(inside) > np.median(around) + 60, (index, box)
            found += 1
    assert found >= 5


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_tight(seed: int) -> None:
    """Rows and columns of a box's border are cool, those just inside are not."""
    rig, heads = SimulatedRig(seed=seed), []
    for index in range(0, 600, 60):
        counts = thermal_over_visible(rig, index)
        for box in people(rig, index):
            x0, x1, top = round(box.x0), round(box.x1), round(box.y0)
            head = counts[top + 1 : top + 6, x0 : x1 + 1].max()
            above = np.median(counts[max(top - 9, 0) : max(top - 4, 1), x0 : x1 + 1])
            heads.append(head - above)
    assert np.median(heads) > 250


def test_thermal_shows_people_and_visible_hardly() -> None:
    seen: list[tuple[float, float]] = []
    for seed, index in FRAMES:
        rig = SimulatedRig(seed=seed)
        visible, thermal = luma(rig, index), thermal_over_visible(rig, index)
        seen += [(contrast(visible, box), contrast(thermal, box)) for box in people(rig, index)]
    assert len(seen) >= 8
    visible_mean, thermal_mean = np.mean(seen, axis=0)
    assert thermal_mean > 2 * visible_mean


def test_somebody_is_near_in_most_frames() -> None:
    near = []
    for seed in range(4):
        rig = SimulatedRig(seed=seed)
        for index in range(0, 900, 90):
            near.append(any(box.label == "person" and 8 < box.distance_m < 40 for box in rig.boxes(index)))
    assert np.mean(near) > 0.75


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_in_the_image_nearest_first(seed: int) -> None:
    rig = SimulatedRig(seed=seed)
    for index in range(0, 300, 60):
        boxes = rig.boxes(index)
        assert boxes == sorted(boxes, key=lambda box: box.distance_m)
        for box in boxes:
            assert box.label in {"person", "bicycle", "car"}
            assert 0 <= box.x0 < box.x1 <= 639
            assert 0 <= box.y0 < box.y1 <= 479
            assert 0 < box.visibility <= 1
            assert 0 < box.distance_m <= 100


def test_something_is_partly_hidden_now_and_then() -> None:
    rig = SimulatedRig(seed=1)
    hidden = [box for index in range(0, 300, 30) for box in rig.boxes(index) if box.visibility < 0.8]
    assert hidden


def test_boxes_move_smoothly() -> None:
    """From one frame to the next nobody comes nearer than the speeds allow: 12 m/s, and as much against it."""
    rig = SimulatedRig(seed=2)
    for index in range(0, 300, 30):
        now, then = ([box for box in rig.boxes(k) if box.distance_m < 60] for k in (index, index + 1))
        for box in then:
            steps = [abs(box.distance_m - other.distance_m) for other in now if other.label == box.label]
            assert not steps or min(steps) < 0.9 or box.distance_m > 58 or box.visibility < 0.2


@pytest.mark.parametrize("seed", range(3))
def test_an_identity_is_of_one_object_throughout_a_drive(seed: int) -> None:
    """Within a frame no two share one; from frame to frame what has it keeps its class and moves by less than 0.9 m."""
    rig, before, kept = SimulatedRig(seed=seed), dict[int, Box](), 0
    for index in range(90, 180):
        boxes = {box.identity: box for box in rig.boxes(index)}
        assert len(boxes) == len(rig.boxes(index))
        for identity in boxes.keys() & before.keys():
            now, then = boxes[identity], before[identity]
            assert now.label == then.label
            assert abs(now.distance_m - then.distance_m) < 0.9
            kept += 1
        assert len(boxes.keys() & before.keys()) >= len(before) - 2
        before = boxes
    assert kept > 300


def test_identities_do_not_depend_on_the_rig() -> None:
    large, small = SimulatedRig(seed=1), SimulatedRig(seed=1, visible_size_px=(320, 240), fps=15.0, fog=0.5)
    found = {(box.identity, box.label, box.distance_m) for box in small.boxes(60)}
    assert found
    assert found <= {(box.identity, box.label, box.distance_m) for box in large.boxes(120)}


def test_a_cyclist_and_the_bicycle_have_an_identity_each() -> None:
    for seed in range(8):
        for index in range(0, 900, 90):
            boxes = SimulatedRig(seed=seed).boxes(index)
            for bicycle in (box for box in boxes if box.label == "bicycle"):
                riders = [box for box in boxes if box.label == "person" and box.distance_m == bicycle.distance_m]
                if riders:
                    assert riders[0].identity != bicycle.identity
                    return
    pytest.fail("no cyclist in eight drives")


def test_a_crowded_drive_never_gives_two_objects_one_identity() -> None:
    """An object that comes back after it was gone is the same class, over two minutes of a drive."""
    rig, labels = SimulatedRig(seed=5, visible_size_px=(160, 120)), dict[int, str]()
    for index in range(0, 3600, 30):
        for box in rig.boxes(index):
            assert labels.setdefault(box.identity, box.label) == box.label
    assert set(labels.values()) == {"person", "bicycle", "car"}


def test_fog_blinds_the_visible_camera_first() -> None:
    """The scene's structure round the horizon, where distances are long."""
    band = (slice(150, 300), slice(20, 620))
    kept: list[tuple[float, float]] = []
    for seed in range(3):
        clear, foggy = SimulatedRig(seed=seed), SimulatedRig(seed=seed, fog=0.6)
        pairs = [(luma(rig, 60), thermal_over_visible(rig, 60)) for rig in (clear, foggy)]
        edges = [
            [float(np.abs(cv2.Laplacian(cv2.GaussianBlur(i, (0, 0), 2), -1))[band].mean()) for i in p] for p in pairs
        ]
        kept.append((edges[1][0] / edges[0][0], edges[1][1] / edges[0][1]))
    visible, thermal = np.mean(kept, axis=0)
    assert visible < 0.6
    assert thermal > visible + 0.1


def test_fog_changes_no_box() -> None:
    assert SimulatedRig(seed=1, fog=0.8).boxes(30) == SimulatedRig(seed=1).boxes(30)


def test_settings_cannot_be_changed() -> None:
    rig = SimulatedRig()
    with pytest.raises(FrozenInstanceError):
        rig.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"fog": -0.1},
        {"fog": 1.1},
        {"fog": float("nan")},
        {"fps": 0.0},
        {"visible_size_px": (31, 480)},
        {"thermal_size_px": (320, 16)},
        {"visible_size_px": (641, 480), "visible_format": PixelFormat.NV12},
        {"visible_size_px": (640, 481), "visible_format": PixelFormat.NV12},
        {"visible_size_px": (641, 480), "visible_format": PixelFormat.YUYV},
        {"visible_format": PixelFormat.Y16},
        {"thermal_format": PixelFormat.RGB24},
    ],
)
def test_bad_settings_say_what_to_do(settings: dict[str, Any]) -> None:
    with pytest.raises(EdgeFusionError) as caught:
        SimulatedRig(**settings)
    assert caught.value.remedy
    assert caught.value.where in settings


def test_frames_count_from_zero() -> None:
    with pytest.raises(EdgeFusionError, match="from 0"):
        SimulatedRig().render(-1)
