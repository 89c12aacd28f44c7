"""``edgefusion evaluate`` on recordings and simulated drives: frames, flicker, tracks, bad input."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from bundles import small_bundle
from click.testing import Result
from detectors import bright_model
from numpy.typing import NDArray
from scenes import rig_toml, write_folder, write_video

from edgefusion.core.bundle import load_bundle
from edgefusion.core.devices import find_device
from edgefusion.core.frames import Frame
from edgefusion.core.geometry import Registration
from edgefusion.kernels.agc import AgcSpec
from edgefusion.metrics.fusion import fusion_metrics
from edgefusion.metrics.temporal import flickers
from edgefusion.recordings.video import VideoReader, VideoWriter
from runtime.capture.simulated import SimulatedRig
from runtime.evaluate.clips import Driven, Views, look_through
from runtime.evaluate.views import luma, whole
from runtime.fusion import open_fusion

Call = Callable[..., Result]
Bytes = NDArray[np.uint8]
FRAMES = 23
SIZE = (96, 64)
BASELINES = ["visible", "thermal", "mean", "max", "laplacian"]


def write(path: Path, frames: Iterator[Bytes], fps: float = 30) -> Path:
    with VideoWriter(path, SIZE, fps=fps) as writer:
        for frame in frames:
            writer.write(np.ascontiguousarray(frame))
    return path


def header_first(video: Path, path: Path) -> Path:
    """The same video with its index at the beginning, as of a server: cut off, it still states all of its frames."""
    with av.open(str(video)) as source, av.open(str(path), "w", options={"movflags": "+faststart"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    return path


def drive(count: int, *, thermal: bool = False) -> Iterator[Bytes]:
    """A camera that pans over blobs."""
    scene = np.kron(np.random.default_rng(int(thermal)).integers(40, 180, (16, 60)), np.ones((8, 8))).astype(np.uint8)
    for number in range(count):
        yield np.repeat(scene[: SIZE[1], 2 * number : 2 * number + SIZE[0], None], 3, axis=2)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with visible.mp4 and thermal.mp4, and visible once more with its brightness pulsing by 12 levels."""
    folder = tmp_path_factory.mktemp("clip")
    write(folder / "visible.mp4", drive(FRAMES))
    write(folder / "thermal.mp4", drive(FRAMES, thermal=True))
    (folder / "pulsing").mkdir()
    pulses = (
        frame.pixels.astype(np.uint8) + np.uint8(12 * (frame.sequence % 2)) for frame in read(folder / "visible.mp4")
    )
    write(folder / "pulsing" / "any.mp4", pulses)
    return folder


def read(path: Path, kind: Any = "visible") -> Iterator[Frame]:
    return iter(VideoReader(path, kind))


def words(folder: Path, *more: object) -> list[object]:
    return ["evaluate", "--visible", folder / "visible.mp4", "--thermal", folder / "thermal.mp4", *more]


def run(edgefusion: Call, *command: object) -> dict[str, Any]:
    done = edgefusion(*command, "--json")
    assert done.exit_code == 0, done.output
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def result(edgefusion: Call, clip: Path) -> dict[str, Any]:
    return run(edgefusion, *words(clip, "--metrics", "EN,SSIM", "--fused", f"pulse={clip / 'pulsing'}"))


def levels(clip: Path) -> tuple[list[Bytes], list[Bytes]]:
    visible = [whole(luma(frame.pixels.astype(np.uint8))) for frame in read(clip / "visible.mp4")]
    return visible, [frame.pixels.astype(np.uint8) for frame in read(clip / "thermal.mp4", "thermal")]


def test_every_frame_is_judged_as_a_pair(result: dict[str, Any], clip: Path) -> None:
    visible, thermal = levels(clip)
    assert (result["pairs"], result["block"], result["scenes"]) == (FRAMES, 30, {"day": FRAMES, "night": 0})
    assert f"{FRAMES} frames at 30 a second" in result["source"]
    assert [entry["name"] for entry in result["entries"]] == ["pulse", *BASELINES]
    for number, frame in enumerate(result["per_pair"]):
        assert frame["name"] == f"frame {number:06}"
        sources = {"visible": visible[number], "thermal": thermal[number]}
        for name, fused in {"max": np.maximum(*sources.values()), **sources}.items():
            assert frame["values"][name] == pytest.approx(
                fusion_metrics(fused, **sources, names=("EN", "SSIM")), rel=1e-3
            )


def test_flicker_is_that_of_the_whole_clip_whatever_the_chunks(result: dict[str, Any], clip: Path) -> None:
    visible, thermal = levels(clip)
    guide = [
        whole(np.float32(0.5) * (one + np.float32(1) * other)) for one, other in zip(visible, thermal, strict=True)
    ]
    expected = flickers({"visible": visible, "thermal": thermal}, guide=guide)
    entries = result["stability"]["entries"]
    assert [*entries] == ["pulse", *BASELINES]
    for name, found in expected.items():
        assert len(found.steps) == FRAMES - 1
        assert entries[name]["steps"] == pytest.approx(found.steps, abs=0.02)  # luma of ties may be rounded either way
        assert entries[name]["flicker"]["mean"] == pytest.approx(found.mean, abs=0.02)
        assert entries[name]["p95"] == pytest.approx(found.p95, abs=0.02)


def test_pulsing_brightness_is_flicker_of_its_amplitude(result: dict[str, Any]) -> None:
    entries = result["stability"]["entries"]
    steady, pulsing = entries["visible"]["flicker"], entries["pulse"]["flicker"]
    assert steady["mean"] < 4
    assert pulsing["mean"] == pytest.approx(12, abs=1)
    assert pulsing["low"] <= pulsing["mean"] <= pulsing["high"]


def test_one_process_and_several_give_the_same(
    edgefusion: Call, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for workers in (1, 2):
        monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / str(workers)))
        found.append(run(edgefusion, *words(clip, "--metrics", "EN", "--workers", workers)))
    assert found[0]["computed"] == found[1]["computed"] == FRAMES * 6
    for part in ("entries", "per_pair", "stability"):
        assert found[0][part] == found[1][part]


def test_only_what_is_missing_is_computed(
    edgefusion: Call, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path))
    part = run(edgefusion, *words(clip, "--metrics", "EN", "--frames", 12))
    assert (part["pairs"], part["computed"]) == (12, 12 * 6)
    whole_clip = run(edgefusion, *words(clip, "--metrics", "EN"))
    assert whole_clip["computed"] == (FRAMES - 12) * 6
    assert part["stability"]["entries"]["max"]["steps"] == whole_clip["stability"]["entries"]["max"]["steps"][:11]
    # Visible and thermal flicker is always measured; without baselines their metrics are not.
    alone = run(edgefusion, *words(clip, "--metrics", "EN", "--no-baselines"))
    assert alone["computed"] == 0
    assert [*alone["stability"]["entries"]] == ["proxy-nano fp16", "visible", "thermal"]
    assert run(edgefusion, *words(clip, "--metrics", "EN,SD"))["computed"] == FRAMES * 6
    rig = tmp_path / "rig.toml"
    rig.write_text(rig_toml((3, 2)))
    assert run(edgefusion, *words(clip, "--metrics", "EN", "--rig", rig))["computed"] == FRAMES * 6


def test_a_recording_folder_with_a_video_each(edgefusion: Call, clip: Path, tmp_path: Path) -> None:
    for half in ("visible", "thermal"):
        (tmp_path / half).mkdir()
        shutil.copy(clip / f"{half}.mp4", tmp_path / half / "drive.mp4")
    found = run(edgefusion, "evaluate", "--recording", tmp_path, "--metrics", "EN", "--frames", 3)
    assert found["pairs"] == 3


def test_the_table_and_the_csv(edgefusion: Call, clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    done = edgefusion(*words(clip, "--metrics", "EN", "--csv", path))
    assert done.exit_code == 0, done.output
    for text in (
        f"{FRAMES} frames ({FRAMES} day)",
        "flicker ↓",
        "bootstrap over blocks of a second",
        "motion found in",
    ):
        assert text in done.stdout
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert len(rows) == FRAMES * 6
    assert {row["flicker"] for row in rows if row["pair"] == "frame 000000"} == {""}
    assert all(float(row["flicker"]) >= 0 for row in rows if row["pair"] != "frame 000000")


def test_thermal_is_what_the_vehicle_makes_of_it_with_the_memory_of_its_gain_control() -> None:
    rig = SimulatedRig(seed=3, visible_size_px=(98, 64), thermal_size_px=(60, 44))
    bundle = load_bundle(None)
    spec = AgcSpec(**bundle.manifest.agc.model_dump())
    seen = look_through(Driven(rig), spec, frames=6, advance=lambda count: None)
    view = Views(seen)
    fusion = open_fusion(
        bundle,
        find_device("cpu"),
        precision="fp32",
        bits=14,
        registration=lambda visible, thermal: Registration(rig.registration),
    )
    for number in range(6):
        pair = rig.render(number)
        fusion.prepare(pair.visible, pair.thermal)
        fusion.pack(pair)
        assert np.array_equal(view(number).thermal.pixels, fusion.thermal_view())
    assert len(set(seen.ranges[1:])) == 5
    assert np.array_equal(view(2).thermal.pixels, Views(seen)(2).thermal.pixels)


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_model(tmp_path_factory.mktemp("model") / "bright.onnx")


def test_a_simulated_drive_knows_its_boxes_and_identities(edgefusion: Call, bright: Path) -> None:
    words = ["--simulated", "--frames", 3, "--seed", 5, "--fog", 0.3, "--metrics", "EN", "--detector", bright]
    found = run(edgefusion, "evaluate", *words, "--no-baselines")
    rig = SimulatedRig(seed=5, fog=0.3)
    boxes = [box for number in range(3) for box in rig.boxes(number) if box.visibility >= 0.25]
    kinds = {label: sum(box.label == label for box in boxes) for label in ("person", "car")}
    assert found["scenes"] == {"day": 0, "night": 3}
    detection, tracking = found["detection"], found["tracking"]
    assert detection["images"] == 3
    assert detection["truth"] == tracking["truth"] == "simulated rig, seed 5, fog 0.3"
    assert [*detection["entries"]] == [*tracking["entries"]] == ["proxy-nano fp16", "visible", "thermal"]
    for name, entry in tracking["entries"].items():
        assert entry["truths"] == detection["entries"][name]["overall"]["truths"] == sum(kinds.values()) > 0
        assert entry["matches"] + entry["misses"] == entry["truths"]


@pytest.fixture(scope="module")
def lamp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with one bright cell of four by four, dark for two frames; the other camera sees nothing."""
    folder = tmp_path_factory.mktemp("lamp")

    def frames() -> Iterator[Bytes]:
        for number in range(12):
            frame = np.full((SIZE[1], SIZE[0], 3), 2, np.uint8)
            frame[16:32, 24:48] = 2 if number in (5, 6) else 240
            yield frame

    write(folder / "visible.mp4", frames())
    write(folder / "thermal.mp4", (np.full((SIZE[1], SIZE[0], 3), 2, np.uint8) for _ in range(12)))
    (folder / "gt.txt").write_text("".join(f"{number},8,25,17,24,16,1,1,1\n" for number in range(1, 13)))
    return folder


def test_labels_of_a_recording_give_detection_and_tracks(edgefusion: Call, lamp: Path, bright: Path) -> None:
    found = run(edgefusion, *words(lamp, "--metrics", "EN", "--detector", bright, "--labels", lamp / "gt.txt"))
    tracking = found["tracking"]
    assert tracking["truth"] == found["detection"]["truth"] == str(lamp / "gt.txt")
    visible, thermal = tracking["entries"]["visible"], tracking["entries"]["thermal"]
    expected = {"tracks": 1, "truths": 12, "matches": 10, "misses": 2, "false_positives": 0, "switches": 0}
    assert {name: visible[name] for name in expected} == expected
    assert (visible["accuracy"], visible["median_frames"]) == (pytest.approx(10 / 12), 10)
    assert (thermal["tracks"], thermal["misses"], thermal["accuracy"]) == (0, 12, 0)
    assert found["detection"]["entries"]["visible"]["overall"]["figures"]["AP50"]["mean"] > 0.8


def test_without_labels_tracks_are_only_counted(edgefusion: Call, lamp: Path, bright: Path) -> None:
    command = words(lamp, "--metrics", "EN", "--detector", bright)
    found = run(edgefusion, *command)
    assert found["detection"] is None
    assert (found["tracking"]["truth"], found["tracking"]["classes"]) == (None, ["person"])
    visible = found["tracking"]["entries"]["visible"]
    assert (visible["tracks"], visible["median_frames"], visible["truths"], visible["accuracy"]) == (1, 10, None, None)
    assert "true identities are not known" in edgefusion(*command).stdout
    cars = run(edgefusion, *command, "--classes", "Vehicle")["tracking"]
    assert (cars["classes"], cars["entries"]["visible"]["tracks"]) == (["Vehicle"], 0)
    unknown = edgefusion(*command, "--classes", "zebra")
    assert (unknown.exit_code, "knows none of the classes zebra" in unknown.stderr) == (2, True)


def test_a_recording_of_still_images_is_judged_as_pairs(edgefusion: Call, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "stills", ["a", "b"])
    given = ["--metrics", "EN"]
    expected = run(edgefusion, "evaluate", "--pairs", folder, *given)["per_pair"]
    assert run(edgefusion, "evaluate", "--recording", folder, *given)["per_pair"] == expected
    halves = [V, folder / "visible", T, folder / "thermal"]
    assert run(edgefusion, "evaluate", *halves, *given)["per_pair"] == expected


def test_the_page_of_a_clip_has_pictures_of_its_frames(edgefusion: Call, clip: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    run(edgefusion, *words(clip, "--metrics", "EN"), "--html", page)
    assert page.read_text().count("data:image/webp") >= FRAMES * 3


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    write_folder(folder / "stills", ["a", "b"])
    write(folder / "short.mp4", drive(5))
    write(folder / "one.mp4", drive(1))
    write_video(folder / "small.mp4", FRAMES)
    (folder / "cut.mp4").write_bytes((clip / "visible.mp4").read_bytes()[:300])
    (folder / "gt.txt").write_text("900,1,1,1,9,9,1,1,1\n")
    return folder


V, T = "--visible", "--thermal"
CASES: dict[str, tuple[Callable[[Path, Path], list[object]], int, str]] = {
    "no source": (lambda c, p: [], 2, "nothing to judge; give --pairs DIR, --recording R"),
    "two sources": (lambda c, p: ["--pairs", p / "stills", "--simulated"], 2, "several sources; give one of --pairs"),
    "half a recording": (lambda c, p: [V, c / "visible.mp4"], 2, "--thermal is missing"),
    "another length": (lambda c, p: [V, c / "visible.mp4", T, p / "short.mp4"], 4, "has 23 frames and thermal 5"),
    "no clip": (lambda c, p: [V, p / "one.mp4", T, p / "one.mp4"], 4, "one.mp4: 1 frames: no clip"),
    "a damaged video": (lambda c, p: [V, p / "cut.mp4", T, c / "thermal.mp4"], 4, "cut.mp4: not a readable video"),
    "frames of pairs": (lambda c, p: ["--pairs", p / "stills", "--frames", 2], 2, "--frames is for clips"),
    "fog in a recording": (lambda c, p: [*words(c)[1:], "--fog", 0.5], 2, "--fog is for the simulated rig"),
    "a simulated rig's rig": (lambda c, p: ["--simulated", "--rig", p / "x"], 2, "--rig is for a recording"),
    "a sweep": (lambda c, p: [*words(c)[1:], "--degrade", "fog"], 2, "--misalign and --degrade are for pairs"),
    "labels without a detector": (lambda c, p: [*words(c)[1:], "--labels", p], 2, "--labels without a detector"),
    "fused images": (lambda c, p: [*words(c)[1:], "--fused", f"x={p / 'stills'}"], 2, "stills: 0 videos in it"),
    "fused without a name": (lambda c, p: [*words(c)[1:], "--fused", "x"], 2, "fused/max; of a clip NAME=VIDEO"),
    "fused too short": (
        lambda c, p: [*words(c)[1:], "--fused", f"x={p / 'short.mp4'}"], 4, "it has 5 frames",
    ),
    "fused of another size": (
        lambda c, p: [*words(c)[1:], "--fused", f"x={p / 'small.mp4'}"], 4, "its frames are 64x48, the clip's 96x64",
    ),
    "a precision it lacks": (
        lambda c, p: [*words(c)[1:], "--bundle", small_bundle(p / "b").path, "--precision", "int8"], 4, "no int8 model",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line(edgefusion: Call, clip: Path, place: Path, name: str) -> None:
    make, code, message = CASES[name]
    done = edgefusion("evaluate", *make(clip, place))
    assert done.exit_code == code, done.output
    assert message in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("labels", "code", "message"),
    [("stills", 2, "give a MOTChallenge text file"), ("gt.txt", 4, "no box to judge in the first 23 frames")],
)
def test_labels_that_do_not_fit(
    edgefusion: Call, clip: Path, place: Path, bright: Path, labels: str, code: int, message: str
) -> None:
    done = edgefusion(*words(clip, "--detector", bright, "--labels", place / labels))
    assert (done.exit_code, message in done.stderr) == (code, True), done.output


@pytest.mark.filterwarnings("default")
def test_intersect_takes_what_both_have(edgefusion: Call, clip: Path, place: Path) -> None:
    command = [V, clip / "visible.mp4", T, place / "short.mp4", "--intersect", "--metrics", "EN", "--json"]
    done = edgefusion("evaluate", *command)
    assert json.loads(done.stdout)["pairs"] == 5
    assert "fusing the frames that both have" in done.stderr


@pytest.mark.filterwarnings("default")
def test_a_video_that_was_cut_off_is_told(edgefusion: Call, tmp_path: Path) -> None:
    for half in ("visible", "thermal"):
        path = header_first(write(tmp_path / "whole.mp4", drive(100)), tmp_path / f"{half}.mp4")
        with av.open(str(path)) as stored:
            ends = sorted(packet.pos + packet.size for packet in stored.demux(video=0) if packet.size)
        path.write_bytes(path.read_bytes()[: ends[len(ends) * 3 // 4]])  # between two frames
    done = edgefusion(*words(tmp_path, "--metrics", "EN", "--no-baselines", "--json"))
    assert done.exit_code == 0, done.output
    left = json.loads(done.stdout)["pairs"]
    assert 2 <= left < 100
    assert f"100 frames stated, {left} can be decoded: judging these" in done.stderr


def test_a_cut_is_no_step(edgefusion: Call, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    scenes = [np.kron(draw.integers(0, 255, (8, 12)), np.ones((8, 8))).astype(np.uint8) for _ in range(2)]
    for half in ("visible", "thermal"):
        write(tmp_path / f"{half}.mp4", (np.repeat(scenes[n // 4][..., None], 3, axis=2) for n in range(8)))
    steps = run(edgefusion, *words(tmp_path, "--metrics", "EN"))["stability"]["entries"]["visible"]["steps"]
    assert [step is None for step in steps] == [False] * 3 + [True] + [False] * 3


def test_a_second_is_the_clips_own(edgefusion: Call, tmp_path: Path) -> None:
    for half in ("visible", "thermal"):
        write(tmp_path / f"{half}.mp4", islice(drive(4), 4), fps=10)
    found = run(edgefusion, *words(tmp_path, "--metrics", "EN"))
    assert (found["block"], found["stability"]["fps"]) == (10, 10)
