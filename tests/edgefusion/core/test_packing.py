from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefusion.core import archive
from edgefusion.core.archive import from_archive, to_archive
from edgefusion.core.bundle import MANIFEST, SCHEMA, SIGNATURE, load_bundle, shipped_bundle, write_bundle
from edgefusion.core.errors import BundleError, InputError, MachineError
from edgefusion.core.packing import pack_bundle, unpack_bundle

MODEL = "model.fp32.onnx"
MODE = 0o100644


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pack_bundle(load_bundle(), tmp_path / "bundle.efb")
    return tmp_path / "bundle.efb"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a bundle of under 2 kB."""
    fields = load_bundle().manifest.model_dump(by_alias=True, mode="json", exclude={"files", "digest", "gates"})
    fields |= {"schema": SCHEMA, "precisions": {"fp32": MODEL}, "licence": "", "name": "tiny"}
    fields["training"] = {"command": "", "seed": 0, "data": [], "settings": {}, "versions": {}}
    fields.pop("schema_version", None)
    folder = tmp_path_factory.mktemp("tiny") / "bundle"
    write_bundle(folder, {MODEL: b"a model"}, fields)
    return contents(folder)


def zipped(
    files: dict[str, bytes], *, mode: int = MODE, method: int = zipfile.ZIP_STORED, twice: str | None = None
) -> bytes:
    """A zip of the form of a packed bundle, but for what is asked."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as writer:
        for name in sorted([*files, *([twice] if twice else [])]):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.compress_type = 3, method
            entry.external_attr = (mode if name not in (MANIFEST, MODEL) else MODE) << 16
            writer.writestr(entry, files[name])
    return stream.getvalue()


def test_what_was_packed_comes_out_again(packed: Path, tmp_path: Path) -> None:
    out = unpack_bundle(packed, tmp_path / "out")
    assert contents(out.path) == contents(shipped_bundle())
    assert load_bundle(out.path).manifest == load_bundle().manifest
    assert stat.S_IMODE((out.path / MODEL).stat().st_mode) & 0o111 == 0


def test_the_same_bundle_gives_the_same_bytes_whatever_its_files_times_and_modes(packed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shipped_bundle(), tmp_path / "elsewhere" / "copy"))
    for number, path in enumerate(copy.rglob("*")):
        path.chmod(0o700)
        os.utime(path, (number * 10**8, number * 10**8))
    (copy / "notes.txt").write_text("no file of the manifest's")
    assert pack_bundle(load_bundle(copy), tmp_path / "copy.efb") == packed.read_bytes()
    assert pack_bundle(unpack_bundle(packed, tmp_path / "out"), tmp_path / "again.efb") == packed.read_bytes()
    assert pack_bundle(load_bundle(packed), tmp_path / "direct.efb") == packed.read_bytes()


def test_the_form_is_the_same_on_every_python() -> None:
    content = to_archive({"b/c.txt": b"", "a": bytes(range(256)), "Z.onnx": b"weights"})
    assert hashlib.sha256(content).hexdigest() == "4d33a20f849e45e985d32518d09c0a3471434d865559acbba0ac1d1d8d26b33e"


def test_a_packed_bundle_is_loaded_as_it_is(packed: Path, cache: Path) -> None:
    bundle = load_bundle(packed)
    assert (bundle.manifest, bundle.packed, bundle.place) == (load_bundle().manifest, packed, packed)
    assert contents(bundle.path) == contents(shipped_bundle())
    assert bundle.path == cache / "bundles" / hashlib.sha256(packed.read_bytes()).hexdigest()
    assert bundle.model("fp32").is_file()


@pytest.mark.parametrize("harm", [lambda path: path.write_bytes(b"changed"), Path.unlink])
def test_what_was_changed_in_the_cache_is_written_again(packed: Path, cache: Path, harm: Callable[..., None]) -> None:
    harm(load_bundle(packed).model("fp16"))
    assert contents(load_bundle(packed).path) == contents(shipped_bundle())


def test_many_may_load_one_packed_bundle_at_a_time(packed: Path, cache: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_bundle(load_bundle(packed).path).manifest.digest, range(16)))
    assert set(found) == {load_bundle().manifest.digest}


def test_a_packed_bundle_is_not_changed_in_its_place(packed: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot be changed; unpack it first: edgefusion bundle unpack \S+ --out"):
        load_bundle(packed, in_place=True)


def test_nothing_is_unpacked_over_what_is_there(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists already; choose another --out"):
        unpack_bundle(packed, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def with_entry(name: str, **options: int) -> Callable[[dict[str, bytes]], bytes]:
    return lambda files: zipped({**files, name: b"../../etc/passwd"}, **options)


def false_size(declared: int) -> Callable[[dict[str, bytes]], bytes]:
    """The list at the end says another size of the model than there is."""

    def make(files: dict[str, bytes]) -> bytes:
        content = bytearray(to_archive(files))
        entry = content.rindex(b"PK\x01\x02", 0, content.rindex(MODEL.encode()))
        content[entry + 20 : entry + 28] = struct.pack("<II", declared, declared)
        return bytes(content)

    return make


def many(files: dict[str, bytes]) -> bytes:
    return zipped({**files, **{f"f{number}": b"" for number in range(10_000)}})


def edited(content: dict[str, bytes], **changes: object) -> dict[str, bytes]:
    """With another manifest whose digest is right."""
    raw = {**json.loads(content[MANIFEST]), **changes}
    raw["digest"] = hashlib.sha256(
        json.dumps({key: value for key, value in raw.items() if key != "digest"}, sort_keys=True).encode()
    ).hexdigest()
    return {**content, MANIFEST: json.dumps(raw).encode()}


def lists(name: str) -> Callable[[dict[str, bytes]], bytes]:
    """The manifest itself names a file that climbs out of the bundle."""
    hashes = {MODEL: hashlib.sha256(b"a model").hexdigest(), name: hashlib.sha256(b"").hexdigest()}
    return lambda files: to_archive(edited(files, files=hashes))


def with_nul(files: dict[str, bytes]) -> bytes:
    return zipped({**files, "evil_.so": b""}).replace(b"evil_.so", b"evil\0.so")


HOSTILE = {
    "absolute": (with_entry("/etc/evil"), "'/etc/evil' is no plain relative name"),
    "climbing": (with_entry("../evil"), r"'\.\./evil' is no plain relative name"),
    "climbing later": (with_entry("dla/../../evil"), "is no plain relative name"),
    "backslash": (with_entry("..\\evil"), "is no plain relative name"),
    "hidden": (with_entry(".bashrc"), "is no plain relative name"),
    "NUL": (with_nul, r"'evil\\x00\.so' is no plain relative name"),
    "long": (with_entry("a" * 201), "is no plain relative name"),
    "folder": (with_entry("dla/"), "is no plain relative name"),
    "file in a file": (with_entry(f"{MODEL}/evil"), "lies in a file"),
    "link": (with_entry("link", mode=stat.S_IFLNK | 0o777), "link is a link or no plain file"),
    "device": (with_entry("null", mode=stat.S_IFCHR | 0o666), "null is a link or no plain file"),
    "setuid": (with_entry("tool", mode=MODE | stat.S_ISUID), "tool is a link or no plain file"),
    "not in the manifest": (with_entry("evil.so"), "evil.so is not in its manifest"),
    "manifest climbs": (lists("../evil"), r"'\.\./evil' is no plain relative name"),
    "manifest lists the signature": (lists(SIGNATURE), "it lists manifest.json or signature"),
    "compressed bomb": (
        lambda files: zipped({**files, MODEL: bytes(50 << 20)}, method=zipfile.ZIP_DEFLATED), "is compressed",
    ),
    "declares too much": (false_size(archive.MAX_BYTES + 1), "bytes; a bundle has at most 536870912"),
    "declares more": (false_size(2000), "damaged"),
    "declares less": (false_size(3), "damaged"),
    "10,000 files": (many, "files; a bundle has at most 256"),
    "something before": (lambda files: b"#!/bin/sh\n" + to_archive(files), "not byte for byte"),
    "something after": (lambda files: to_archive(files) + b"\0", "not a packed bundle, or cut off"),
    "comment": (lambda files: commented(files), "not a packed bundle, or cut off"),
    "another order": (lambda files: reversed_order(files), "not byte for byte"),
    "a file missing": (lambda files: zipped({MANIFEST: files[MANIFEST]}), "model.fp32.onnx is missing"),
    "no manifest": (lambda files: zipped({MODEL: files[MODEL]}), "no manifest.json"),
    "no zip": (lambda files: b"a video, perhaps", "not a packed bundle"),
    "empty": (lambda files: b"", "not a packed bundle"),
    "other content": (lambda files: to_archive({**files, MODEL: b"another"}), "model.fp32.onnx was changed"),
    "newer schema": (lambda files: to_archive(edited(files, schema=3)), "schema 3; this edgefusion reads up to 2"),
    "no JSON": (lambda files: to_archive({**files, MANIFEST: b"{"}), "not a bundle manifest"),
    "deep JSON": (lambda files: to_archive({**files, MANIFEST: b"[" * 10**6}), "not a bundle manifest"),
}  # fmt: skip


def commented(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO(to_archive(files))
    with zipfile.ZipFile(stream, "a") as writer:
        writer.comment = b"hello"
    return stream.getvalue()


def reversed_order(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as writer:
        for name in sorted(files, reverse=True):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, MODE << 16
            writer.writestr(entry, files[name])
    return stream.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written(
    tiny: dict[str, bytes], tmp_path: Path, cache: Path, name: str
) -> None:
    make, message = HOSTILE[name]
    path = tmp_path / "inbox" / "x.efb"
    path.parent.mkdir()
    path.write_bytes(make(tiny))
    before = set(tmp_path.rglob("*"))
    for use in (load_bundle, lambda path: unpack_bundle(path, path.parent / "out")):
        with pytest.raises(BundleError, match=message) as caught:
            use(path)
        assert str(caught.value).startswith(str(path))
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(tiny: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "x.efb").write_bytes(zipped(tiny, twice=MODEL))
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx is there twice"):
        load_bundle(tmp_path / "x.efb")


def test_a_list_of_entries_of_64_bits_is_refused_before_it_is_read(tiny: dict[str, bytes]) -> None:
    content = to_archive(tiny)
    locator = b"PK\x06\x07" + bytes(16)
    with pytest.raises(BundleError, match="at most 256"):
        from_archive(content[:-22] + locator + content[-22:], Path("x.efb"))


def test_an_archive_larger_than_any_bundle_is_not_read_to_its_end(
    tmp_path: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = sum(map(len, contents(shipped_bundle()).values())) - 1
    monkeypatch.setattr(archive, "MAX_BYTES", limit)
    with (tmp_path / "large.efb").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(BundleError, match=rf"large\.efb: over {limit + (256 << 10)} bytes; a packed bundle has fewer"):
        load_bundle(tmp_path / "large.efb")
    with pytest.raises(BundleError, match=f"{limit + 1} bytes; a bundle has at most {limit}"):
        load_bundle(packed)
    with pytest.raises(BundleError, match=f"{limit + 1} bytes; a bundle has at most {limit}"):
        pack_bundle(load_bundle(), tmp_path / "new.efb")
    assert not (tmp_path / "new.efb").exists()


def test_every_flipped_byte_is_found(tiny: dict[str, bytes], tmp_path: Path) -> None:
    content = bytearray(to_archive(tiny))
    path = tmp_path / "x.efb"
    for place in range(len(content)):
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(BundleError):
            load_bundle(path)
        content[place] ^= 1 << place % 8


def test_every_cut_is_found(tiny: dict[str, bytes]) -> None:
    content = to_archive(tiny)
    for length in range(len(content)):
        with pytest.raises(BundleError):
            from_archive(content[:length], Path("x.efb"))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_the_bytes_are_it_is_a_bundle_error_or_what_was_packed(data: st.DataObject) -> None:
    good = to_archive({"a": b"first", "b": b"second"})
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(good)), st.integers(0, len(good)))))
    content = good[:start] + data.draw(st.binary(max_size=60)) + good[end:]
    try:
        files = from_archive(content, Path("x.efb"))
    except BundleError:
        return
    assert to_archive(files) == content


def test_a_bundle_that_changes_while_it_is_packed_is_not_packed(tmp_path: Path) -> None:
    bundle = load_bundle(Path(shutil.copytree(shipped_bundle(), tmp_path / "bundle")))
    (bundle.path / MODEL).write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.fp32\.onnx was changed"):
        pack_bundle(bundle, tmp_path / "x.efb")
    assert not (tmp_path / "x.efb").exists()


def test_a_bundle_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = load_bundle(Path(shutil.copytree(shipped_bundle(), tmp_path / "bundle")))
    before, rename = contents(bundle.path), Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "new":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    fields = bundle.manifest.model_dump(by_alias=True, mode="json", exclude={"files", "digest", "schema_version"})
    with pytest.raises(MachineError, match="No space left on device"):
        write_bundle(bundle.path, dict.fromkeys(bundle.manifest.files, b""), fields)
    assert contents(bundle.path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
