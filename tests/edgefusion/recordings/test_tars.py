from __future__ import annotations

import importlib.util
import io
import re
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from scenes import write_folder, write_tar

from edgefusion.core.errors import InputError, MachineError, RecordingError
from edgefusion.core.pairs import find_pairs
from edgefusion.recordings.tars import expand

needs_http = pytest.mark.skipif(importlib.util.find_spec("aiohttp") is None, reason="aiohttp comes with [train]")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "folder", ["a", "b", "c.1"], bits=16)


@pytest.fixture
def tar(tmp_path: Path, folder: Path) -> Path:
    return write_tar(tmp_path / "train-000.tar", folder, ["a", "b", "c.1"])


def same(spec: str, folder: Path) -> bool:
    ours, theirs = find_pairs(spec, ""), find_pairs(str(folder), "")
    assert [pair.name for pair in ours] == [pair.name for pair in theirs]
    for one, other in zip(ours, theirs, strict=True):
        left, right = one.load(), other.load()
        np.testing.assert_array_equal(left.visible.pixels, right.visible.pixels)
        np.testing.assert_array_equal(left.thermal.pixels, right.thermal.pixels)
        assert (left.name, left.thermal.format) == (right.name, right.thermal.format)
    return True


def test_a_tar_has_the_pairs_of_the_folder_it_was_packed_from(tar: Path, folder: Path) -> None:
    assert same(str(tar), folder)


def test_several_tars_are_one_data_set(tmp_path: Path, folder: Path) -> None:
    for number, name in enumerate(("a", "b", "c.1")):
        write_tar(tmp_path / f"train-{number:03d}.tar", folder, [name])
    first = f"{tmp_path}/train-000.tar"
    for spec in (
        f"{tmp_path}/train-{{000..002}}.tar",
        f"{tmp_path}/train-*.tar",
        f"{first},{tmp_path}/train-{{001..002}}.tar",
    ):
        assert same(spec, folder)
    assert expand("s3://bucket/{08..10}-{1..2}.tar")[1:4] == [
        f"s3://bucket/{name}.tar" for name in ("08-2", "09-1", "09-2")
    ]


@contextmanager
def served(folder: Path, *, parts: bool = True) -> Iterator[tuple[str, list[str]]]:
    """A web server over a folder, which gives parts of files if it is asked to; and what was asked of it."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *words: object) -> None:
            pass

        def do_GET(self) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            path = folder / self.path.lstrip("/")
            if not (wanted and parts and path.is_file()):
                return super().do_GET()
            asked.append(wanted[0])
            content = path.read_bytes()
            part = content[int(wanted[1]) : int(wanted[2]) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {wanted[1]}-{int(wanted[1]) + len(part) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part)

        def end_headers(self) -> None:
            if parts:
                self.send_header("Accept-Ranges", "bytes")
            super().end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_http
def test_a_tar_on_a_web_server_is_read_in_parts(tar: Path, folder: Path) -> None:
    with served(tar.parent) as (url, asked):
        assert same(f"{url}/{tar.name}", folder)
        pair = find_pairs(f"{url}/{tar.name}", "")[1]
        asked.clear()
        pair.load()
        assert len(asked) == 2
        first, last = map(int, asked[0].removeprefix("bytes=").split("-"))
        assert last - first + 1 == (folder / "visible" / "b.png").stat().st_size


@needs_http
def test_a_server_that_is_not_there_or_gives_no_parts_is_named(tar: Path) -> None:
    with served(tar.parent) as (url, _), pytest.raises(RecordingError, match=r"none\.tar: no such file"):
        find_pairs(f"{url}/none.tar", "")
    with pytest.raises(RecordingError, match="no such file; check that the server can be reached"):
        find_pairs(f"{url}/{tar.name}", "")
    with served(tar.parent, parts=False) as (url, _), pytest.raises(RecordingError, match="gives parts of files"):
        find_pairs(f"{url}/{tar.name}", "")[0].load()


def test_a_scheme_without_a_library_is_named() -> None:
    pytest.importorskip("fsspec", reason="fsspec comes with [train]")
    if importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is installed here")
    with pytest.raises(MachineError, match=r"s3://bucket/a\.tar: no library for it .*s3fs"):
        find_pairs("s3://bucket/a.tar", "")


@pytest.mark.parametrize("share", [0.3, 0.75])
def test_a_truncated_tar_is_refused(tar: Path, share: float) -> None:
    content = tar.read_bytes()
    tar.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(RecordingError, match=r"train-000\.tar: cannot be read .*cut short"):
        find_pairs(str(tar), "")


def test_a_tar_that_ends_between_two_members_is_refused(tar: Path, folder: Path) -> None:
    with tarfile.open(tar) as archive:
        end = archive.getmember("b.visible.png").offset
    tar.write_bytes(tar.read_bytes()[:end])
    with pytest.raises(RecordingError, match="no end of archive"):
        find_pairs(str(tar), "")


def test_a_tar_that_becomes_shorter_is_named_with_the_member(tar: Path) -> None:
    pair = find_pairs(str(tar), "")[2]
    tar.write_bytes(tar.read_bytes()[:600])
    with pytest.raises(RecordingError, match=r"train-000\.tar: c\.1\.visible\.png: .* bytes instead of"):
        pair.load()
    tar.unlink()
    with pytest.raises(RecordingError, match=r"train-000\.tar: c\.1\.visible\.png: no such file"):
        pair.load()


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


def test_a_picture_that_cannot_be_decoded_is_named_with_its_tar(tmp_path: Path) -> None:
    pack(tmp_path / "x.tar", {"a.visible.png": b"hello", "a.thermal.png": b"hello"})
    (pair,) = find_pairs(str(tmp_path / "x.tar"), "")
    with pytest.raises(RecordingError, match=r"x\.tar: a\.visible\.png: not a readable image"):
        pair.load()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no partner": (
        lambda p: pack(p, {"a.visible.png": b"", "a.thermal.png": b"", "b.visible.png": b""}),
        "x.tar: b.vis",
    ),
    "two of one name": (lambda p: pack(p, {"a.visible.png": b"", "./a.visible.jpg": b""}), "more than one visible"),
    "no picture": (lambda p: pack(p, {"a.png": b"", "b.json": b""}), "no pair; name pictures NAME"),
    "nothing": (lambda p: p.write_bytes(b""), "cannot be read .empty file"),
    "no tar": (lambda p: p.write_bytes(b"hello" * 999), "no tar"),
    "a way out": (lambda p: pack(p, {"../a.visible.png": b""}), "leads out of the tar"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_tar_is_an_error_that_names_it(tmp_path: Path, case: str) -> None:
    make, message = BAD[case]
    make(tmp_path / "x.tar")
    with pytest.raises(RecordingError, match=rf"x\.tar.*{message}"):
        find_pairs(str(tmp_path / "x.tar"), "")


def test_names_in_two_tars_and_specs_without_tars_are_refused(tmp_path: Path, folder: Path, tar: Path) -> None:
    write_tar(tmp_path / "again.tar", folder, ["a"])
    with pytest.raises(InputError, match="more than one pair is called a"):
        find_pairs(f"{tar},{tmp_path / 'again.tar'}", "")
    for spec in ("none-*.tar", "none-{0..3}.tar", "none"):
        with pytest.raises(InputError, match=r"none.*no such file or folder"):
            find_pairs(str(tmp_path / spec), "")
    for spec in ("", ",", "x-{3..1}.tar"):
        with pytest.raises(InputError, match="names no pairs"):
            find_pairs(spec, "")


def test_members_without_a_partner_can_be_left_out(tmp_path: Path, folder: Path) -> None:
    picture = (folder / "visible" / "a.png").read_bytes()
    pack(tmp_path / "x.tar", {"a.visible.png": picture, "a.thermal.png": picture, "b.thermal.png": picture})
    with pytest.warns(UserWarning, match=r"left out, without a partner: .*x\.tar: b\.thermal\.png"):
        assert [pair.name for pair in find_pairs(str(tmp_path / "x.tar"), "", intersect=True)] == ["a"]
