"""``edgefusion record``: both cameras into one file, whatever happens to them, to the disk or to the process."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import scripted_cameras
from click.testing import Result
from mcap.reader import make_reader
from rtsp_server import serving
from scripted_cameras import scripted_rig

from edgefusion.cli import COMMANDS
from edgefusion.core.frames import PixelFormat
from edgefusion.recordings.mcap import McapRecording
from edgefusion.recordings.mcap_file import McapFile
from runtime.capture.base import KINDS
from runtime.recorder import text

Call = Callable[..., Result]
VISIBLE, THERMAL = "/visible/image_raw", "/thermal/image_raw"


@pytest.fixture
def record(edgefusion: Call, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command with scripted cameras."""
    monkeypatch.setitem(KINDS, scripted_cameras.KIND, scripted_cameras.CLASS)
    monkeypatch.setitem(COMMANDS, "record", ("runtime.recorder.cli:record", ""))
    return lambda *words: edgefusion("record", *words)


def facts(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def values(path: Path, topic: str) -> list[int]:
    """The first value of every frame of a topic."""
    recording = McapRecording(path)
    side = topic.split("/")[1]
    return [int(getattr(pair, side).pixels.flat[0]) for pair in recording]


def counts(path: Path) -> dict[str, int]:
    return {name: topic.messages for name, topic in McapFile(path).topics.items()}


def test_every_frame_of_both_cameras_and_the_facts_of_the_rig(record: Call, tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", "frames=40", "frames=20,fps=100"), tmp_path / "r.mcap"
    found = facts(record("--rig", rig, "--out", out, "--json"))
    assert found["path"] == str(out)
    assert found["size_bytes"] == out.stat().st_size
    assert found["interrupted"] is False
    visible, thermal = found["cameras"]["visible"], found["cameras"]["thermal"]
    assert (visible["frames"], visible["dropped"], visible["lost"], visible["state"]) == (40, 0, 0, "ended")
    assert (thermal["frames"], thermal["form"], visible["form"]) == (20, "Y16 64x48", "YUYV 64x48")
    with out.open("rb") as stream:
        reader = make_reader(stream)
        messages = list(reader.iter_messages([VISIBLE]))
        assert [message.sequence for _, _, message in messages] == list(range(40))
        assert all(message.log_time > message.publish_time for _, _, message in messages)  # exposed, then arrived
        metadata = {each.name: each.metadata for each in reader.iter_metadata()}
        assert metadata["rig"]["name"] == "front"
        assert json.loads(metadata["rig"]["visible"]) == {
            "form": "YUYV 64x48", "kind": "scripted", "memory": "copy", "copies": 1,
        }  # fmt: skip
        assert json.loads(metadata["recorded"]["thermal"])["frames"] == 20
        (attached,) = reader.iter_attachments()
        assert attached.data == rig.read_bytes()


def test_what_is_recorded_is_what_the_cameras_saw(record: Call, tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", "frames=20", "frames=20"), tmp_path / "r.mcap"
    assert record("--rig", rig, "--out", out).exit_code == 0
    pairs = list(McapRecording(out))
    assert len(pairs) > 10  # both run at one rate, but not in step
    for pair in pairs:
        assert set(pair.visible.pixels.flat) == {pair.visible.sequence}
        assert set(pair.thermal.pixels.flat) == {1000 + pair.thermal.sequence}
    assert (pairs[0].visible.format, pairs[0].thermal.format) == (PixelFormat.YUYV, PixelFormat.Y16)


def test_a_recording_holds_no_password(record: Call, tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", thermal="frames=20"), tmp_path / "r.mcap"
    with serving("--user", "driver:s3cret") as server:
        text = rig.read_text().replace('"YUYV"', '"NV12"')
        rig.write_text(text.replace("scripted:", server.url("driver:s3cret"), 1))
        found = facts(record("--rig", rig, "--out", out, "--duration", "0.5s", "--json"))
    assert found["cameras"]["visible"]["frames"] > 0
    with out.open("rb") as stream:
        reader = make_reader(stream)
        (attached,) = reader.iter_attachments()
        metadata = str([each.metadata for each in reader.iter_metadata()])
    assert attached.data.decode() == rig.read_text().replace("driver:s3cret", "***")
    assert "s3cret" not in metadata


def test_a_duration_ends_it(record: Call, tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml"), tmp_path / "r.mcap"
    found = facts(record("--rig", rig, "--out", out, "--duration", "0.5s", "--json"))
    assert found["seconds"] >= 0.5
    assert found["cameras"]["visible"]["state"] == "live"
    assert counts(out)[VISIBLE] == found["cameras"]["visible"]["frames"] > 0


def test_a_camera_that_is_lost_comes_back_and_the_other_goes_on(record: Call, tmp_path: Path) -> None:
    rig = scripted_rig(
        tmp_path / "rig.toml", "frames=200", "frames=60,lost_at=20,absent=2,damaged_at=5", policy="reconnect_s = 0.1"
    )
    result = record("--rig", rig, "--out", tmp_path / "r.mcap")
    assert result.exit_code == 0, result.output
    assert "thermal camera lost (unplugged), trying again" in result.stderr
    assert "thermal camera is back" in result.stderr
    assert re.search(r"visible: 200 frames of YUYV 64x48, [\d.]+ per second\n", result.stdout)
    assert re.search(r"thermal: 59 frames of Y16 64x48, [\d.]+ per second, 1 damaged, lost 1 times", result.stdout)
    assert counts(tmp_path / "r.mcap") == {VISIBLE: 200, THERMAL: 59}


def test_a_camera_that_falls_silent_is_opened_again(record: Call, tmp_path: Path) -> None:
    rig = scripted_rig(
        tmp_path / "rig.toml", "frames=50,silent_at=20", "frames=50", policy="lost_after_s = 0.3\nreconnect_s = 0.1"
    )
    found = facts(record("--rig", rig, "--out", tmp_path / "r.mcap", "--json"))
    assert found["cameras"]["visible"]["lost"] == 1
    assert counts(tmp_path / "r.mcap") == {VISIBLE: 50, THERMAL: 50}


@pytest.mark.parametrize(
    ("visible", "thermal", "code", "says"),
    [("open=busy", "", 3, "visible: busy; close what uses it"), ("", "open=absent", 5, "thermal: not there")],
)
def test_a_camera_that_cannot_be_opened(
    record: Call, tmp_path: Path, visible: str, thermal: str, code: int, says: str
) -> None:
    result = record("--rig", scripted_rig(tmp_path / "rig.toml", visible, thermal), "--out", tmp_path / "r.mcap")
    assert (result.exit_code, result.stderr) == (code, f"edgefusion: {says}\n")
    assert not (tmp_path / "r.mcap").exists()


def test_a_file_that_is_there_is_kept_unless_forced(record: Call, tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", "frames=3", "frames=3"), tmp_path / "r.mcap"
    out.write_bytes(b"precious")
    result = record("--rig", rig, "--out", out)
    assert result.exit_code == 2
    assert "there is such a file already; choose another name, or pass --force" in result.stderr
    assert out.read_bytes() == b"precious"
    assert record("--rig", rig, "--out", out, "--force").exit_code == 0
    assert counts(out) == {VISIBLE: 3, THERMAL: 3}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--out", "{}/r.mp4"], 2, "a recording is an MCAP file; end its name in .mcap"),
        (["--out", "{}/no/r.mcap"], 3, "no such folder"),
        (["--out", "{}/r.mcap", "--duration", "soon"], 2, "'soon' is no duration; give one such as 90s, 5m or 1h30m"),
        (["--out", "{}/r.mcap", "--duration", "0"], 2, "'0' is no duration"),
    ],
)
def test_bad_words(record: Call, tmp_path: Path, words: list[str], code: int, says: str) -> None:
    result = record("--rig", scripted_rig(tmp_path / "rig.toml"), *(word.format(tmp_path) for word in words))
    assert result.exit_code == code
    assert says in result.stderr


def test_a_rig_without_a_camera(record: Call, tmp_path: Path) -> None:
    rig = scripted_rig(tmp_path / "rig.toml")
    rig.write_text(rig.read_text().replace('device = "scripted:"', "", 1))
    result = record("--rig", rig, "--out", tmp_path / "r.mcap")
    assert result.exit_code == 4
    assert "visible.device is missing" in result.stderr


def test_not_one_frame_leaves_no_file(record: Call, tmp_path: Path) -> None:
    result = record("--rig", scripted_rig(tmp_path / "rig.toml", "frames=0", "frames=0"), "--out", tmp_path / "r.mcap")
    assert result.exit_code == 5
    assert "not one frame came" in result.stderr
    assert not (tmp_path / "r.mcap").exists()


@pytest.mark.parametrize(
    ("said", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1.5s", 1.5), ("1m30", 90)]
)
def test_durations(said: str, seconds: float) -> None:
    assert text.parse_duration(said) == seconds


COMMAND = f"""
import resource, sys
from edgefusion.cli import COMMANDS, main
from runtime.capture.base import KINDS
KINDS[{scripted_cameras.KIND!r}] = {scripted_cameras.CLASS!r}
COMMANDS["record"] = ("runtime.recorder.cli:record", "")
if limit := int(sys.argv.pop(1)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main()
"""


def started(*words: object, limit: int = 0) -> subprocess.Popen[str]:
    path = [str(Path(scripted_cameras.__file__).parent), *sys.path]
    call = [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}{COMMAND}", str(limit), "record"]
    return subprocess.Popen([*call, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, size: int, process: subprocess.Popen[str]) -> None:
    while not path.exists() or path.stat().st_size < size:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_file_is_whole(tmp_path: Path, number: signal.Signals) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", size=(640, 480)), tmp_path / "r.mcap"
    with started("--rig", rig, "--out", out, "--json") as process:
        wait_for(out, 50_000, process)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    found = json.loads(output)
    assert found["interrupted"] is True
    assert counts(out) == {
        VISIBLE: found["cameras"]["visible"]["frames"],
        THERMAL: found["cameras"]["thermal"]["frames"],
    }


@pytest.mark.parametrize("stuck", ["visible", "thermal"])
def test_a_stuck_camera_blocks_nobody(tmp_path: Path, stuck: str) -> None:
    scripts = {"visible": "", "thermal": "", stuck: "stuck_at=3"}
    rig, out = scripted_rig(tmp_path / "rig.toml", **scripts, size=(640, 480)), tmp_path / "r.mcap"
    with started("--rig", rig, "--out", out, "--json") as process:
        wait_for(out, 50_000, process)
        process.send_signal(signal.SIGINT)
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    found = json.loads(output)["cameras"]
    assert found[stuck]["frames"] == 3
    assert counts(out) == {VISIBLE: found["visible"]["frames"], THERMAL: found["thermal"]["frames"]}


def test_what_a_killed_recorder_wrote_is_read(tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", size=(640, 480)), tmp_path / "r.mcap"
    with started("--rig", rig, "--out", out) as process:
        wait_for(out, 100_000, process)
        process.kill()
    with pytest.warns(UserWarning, match="cut short"):
        assert values(out, VISIBLE)
    with out.open("rb") as stream:  # the rig's facts came first
        assert b"rig.toml" in stream.read(4096)


def test_a_full_disk_ends_it_with_an_error_and_the_file_can_be_read(tmp_path: Path) -> None:
    rig, out = scripted_rig(tmp_path / "rig.toml", size=(640, 480)), tmp_path / "r.mcap"
    with started("--rig", rig, "--out", out, limit=200_000) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "r.mcap: cannot write the recording (File too large); what was written before can be read" in errors
    found = counts(out)
    assert found[VISIBLE] > 3
    assert found[THERMAL] > 3
