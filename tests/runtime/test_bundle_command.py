"""``edgefusion bundle`` and every command that takes what it makes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import SIZE, small_bundle, small_model
from click.testing import Result
from little_disk import run_with_little_disk
from scenes import write_folder

from edgefusion.core.bundle import Gate, add_models, load_bundle, shipped_bundle, write_bundle
from edgefusion.core.packing import pack_bundle

Call = Callable[..., Result]
GATE = Gate(passed=True, accepted=False, max_drop=0.01, holdout="39 pairs", pairs=39, psnr_db=50.0, numerics="by hand")
CHANGED = b"changed " * 4


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def place(edgefusion: Call, tmp_path: Path) -> Path:
    """Two pairs of keys, a bundle, a signed one and both as files."""
    pytest.importorskip("cryptography", reason="cryptography comes with [sign]")
    folder = tmp_path / "place"
    small_bundle(folder / "bundle")
    shutil.copytree(folder / "bundle", folder / "signed")
    for words in (
        ("keygen", "--out", folder / "ours"),
        ("keygen", "--out", folder / "theirs"),
        ("sign", folder / "signed", "--key", folder / "ours.pem"),
        ("pack", folder / "bundle", "--out", folder / "bundle.efb"),
        ("pack", folder / "signed", "--out", folder / "signed.efb"),
    ):
        result = edgefusion("bundle", *words)
        assert result.exit_code == 0, result.output
    return folder


def ran(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_bundle_goes_into_a_file_and_out_again(edgefusion: Call, place: Path) -> None:
    packed = ran(edgefusion("bundle", "pack", place / "bundle", "--out", place / "again.efb", "--json"))
    assert packed["bytes"] == (place / "again.efb").stat().st_size
    assert (place / "again.efb").read_bytes() == (place / "bundle.efb").read_bytes()
    assert ran(edgefusion("bundle", "unpack", place / "again.efb", "--out", place / "out", "--json"))["files"] == 1
    for name in ("manifest.json", "model.fp32.onnx"):
        assert (place / "out" / name).read_bytes() == (place / "bundle" / name).read_bytes()
    text = edgefusion("bundle", "pack", place / "bundle", "--out", place / "again.efb").stdout
    assert f"sha256      {packed['sha256']}" in text


@pytest.mark.parametrize("key", [[], ["--require-signature", "ours.pub"]])
@pytest.mark.parametrize("bundle", ["signed", "signed.efb"])
def test_run_and_build_take_folder_and_file_and_the_key_that_signed_them(
    edgefusion: Call, place: Path, monkeypatch: pytest.MonkeyPatch, bundle: str, key: list[str]
) -> None:
    monkeypatch.chdir(place)
    drive = write_folder(place / "drive", ["a", "b"])
    words = ("--bundle", bundle, "--precision", "fp32", *key, "--json")
    assert ran(edgefusion("run", *words, "--recording", drive, "--output", "fused"))["counts"]["published"] == 2
    assert ran(edgefusion("build", *words))["size_px"] == list(SIZE)


def test_evaluate_takes_a_packed_bundle_under_its_name(edgefusion: Call, place: Path) -> None:
    drive = write_folder(place / "drive", ["a", "b"])
    words = ("--bundle", place / "bundle.efb", "--precision", "fp32", "--no-baselines", "--metrics", "EN")
    result = edgefusion("evaluate", "--pairs", drive, *words, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "bundle.efb" in result.stdout


def changed_file(place: Path) -> None:
    (place / "signed" / "model.fp32.onnx").write_bytes(CHANGED)


def made_anew(place: Path) -> None:
    signature = (place / "signed" / "signature").read_bytes()
    fields = load_bundle(place / "signed").manifest.model_dump(by_alias=True, mode="json", exclude={"files", "digest"})
    fields.pop("schema_version", None)
    fields.pop("schema", None)
    write_bundle(place / "signed", {"model.fp32.onnx": small_model()}, {**fields, "licence": "mine"})
    (place / "signed" / "signature").write_bytes(signature)


def as_it_is(place: Path) -> None:
    pass


REFUSED = {
    "unsigned": (as_it_is, "bundle", "ours.pub", "bundle: not signed; take the one that was signed for"),
    "unsigned file": (as_it_is, "bundle.efb", "ours.pub", "bundle.efb: not signed; take"),
    "another key": (as_it_is, "signed", "theirs.pub", "signed: signed by another key, "),
    "another key's file": (as_it_is, "signed.efb", "theirs.pub", "signed.efb: signed by another key, "),
    "changed file": (changed_file, "signed", "ours.pub", "model.fp32.onnx was changed after the bundle was written"),
    "made anew": (made_anew, "signed", "ours.pub", "changed after it was signed; copy the signed bundle again"),
    "private key": (as_it_is, "signed", "ours.pem", "ours.pem: not an unencrypted Ed25519PublicKey"),
    "no key": (as_it_is, "signed", "none.pub", "none.pub: cannot read the key (No such file or directory)"),
}


@pytest.mark.parametrize("command", ["run", "build", "bundle verify"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_the_key_did_not_sign_is_refused_in_one_line(
    edgefusion: Call, place: Path, cache: Path, name: str, command: str
) -> None:
    harm, bundle, key, message = REFUSED[name]
    harm(place)
    words = (place / bundle, "--key") if command == "bundle verify" else ("--bundle", place / bundle, "--precision",
        "fp32", "--require-signature")  # fmt: skip
    result = edgefusion(*command.split(), *words, place / key)
    assert result.exit_code == 4, result.output
    assert message in result.stderr
    assert (result.stdout, result.stderr.count("\n")) == ("", 1)
    assert not (cache / "engines").exists()


def test_the_shipped_bundle_is_whole_and_not_signed(edgefusion: Call) -> None:
    facts = ran(edgefusion("bundle", "verify", "--json"))
    assert {f"model.{precision}.onnx" for precision in ("fp32", "fp16", "int8")} <= set(facts["models"])
    assert facts["signed_by"] is None
    assert re.search(r"signature +none\n", edgefusion("bundle", "verify").stdout)


def test_verify_says_whether_the_signature_was_checked(edgefusion: Call, place: Path) -> None:
    alone = edgefusion("bundle", "verify", place / "signed.efb").stdout
    with_key = edgefusion("bundle", "verify", place / "signed.efb", "--key", place / "ours.pub").stdout
    assert "not checked: give --key KEY.pub" in alone
    assert f"checked with {place / 'ours.pub'}" in with_key


def test_verify_finds_a_model_that_is_none_or_of_other_tensors(edgefusion: Call, place: Path) -> None:
    cut = small_model()[:5000]
    add_models(load_bundle(place / "bundle"), {"int8": cut}, {"int8": GATE}, {})
    result = edgefusion("bundle", "verify", place / "bundle")
    assert (result.exit_code, result.stderr.count("\n")) == (4, 1)
    assert "bundle: model.int8.onnx is no model that OpenVINO reads (" in result.stderr
    other = (shipped_bundle() / "model.int8.onnx").read_bytes()
    add_models(load_bundle(place / "bundle"), {"int8": other}, {"int8": GATE}, {})
    result = edgefusion("bundle", "verify", place / "bundle")
    assert result.exit_code == 4
    assert "model.int8.onnx has the tensors {'x': [1, 32, 120, 160], 'y': [1, 16, 120, 160]}, not " in result.stderr


def test_inspect_prints_models_gates_licences_signature_dla_and_engines(edgefusion: Call, place: Path) -> None:
    over = GATE.model_copy(update={"passed": False, "accepted": True})
    models = {"fp16": small_model(), "int8": small_model()}
    add_models(load_bundle(place / "bundle"), models, {"fp16": GATE, "int8": over}, {"dla/layers.json": b"[]"})
    assert "none in this machine's cache" in edgefusion("bundle", "inspect", place / "bundle").stdout
    ran(edgefusion("build", "--bundle", place / "bundle", "--precision", "fp32", "--json"))
    ran(edgefusion("build", "--precision", "fp32", "--json"))
    edgefusion("bundle", "sign", place / "bundle", "--key", place / "ours.pem")
    edgefusion("bundle", "pack", place / "bundle", "--out", place / "bundle.efb")
    text, facts = (edgefusion("bundle", "inspect", place / "bundle.efb", *json_).stdout for json_ in ([], ["--json"]))
    size = f"{len(small_model()) / 1024:.0f} KiB"
    for line in (
        f"proxy-nano at {place / 'bundle.efb'}",
        f"models      fp32 {size}, fp16 {size}, int8 {size}",
        "fp16: passed (budget 1 % of each figure), 50.0 dB from fp32 on 39 pairs",
        "int8: over its budget, accepted (budget 1 %",
        "DLA         dla/layers.json 0 KiB",
        "tno (21 pairs), licence: academic use",
        "licence     Apache-2.0",
        "files       4, every hash right",
        "cpu openvino fp32 96x72, computing in f32, ",
    ):
        assert line in text
    found = json.loads(facts)
    assert found.keys() >= {"path", "schema", "name", "precisions", "gates", "training", "files", "digest"}
    assert found["models"]["fp16"] == {"file": "model.fp16.onnx", "bytes": len(small_model())}
    assert found["dla"] == {"dla/layers.json": 2}
    assert [engine["facts"]["size_px"] for engine in found["engines"]] == [[*SIZE]]
    assert f"signature   by key {found['signature']['fingerprint']}; " in text


def test_inspect_says_which_models_have_no_gate_and_passes_over_broken_engines(
    edgefusion: Call, place: Path, cache: Path
) -> None:
    (cache / "engines" / "broken").mkdir(parents=True)
    (cache / "engines" / "broken" / "engine.json").write_text("[]")
    fields = json.loads((place / "bundle" / "manifest.json").read_text())
    fields = {name: value for name, value in fields.items() if name not in ("schema", "files", "digest")}
    fields["precisions"]["int8"] = "model.fp32.onnx"
    write_bundle(place / "bundle", {"model.fp32.onnx": small_model()}, fields)
    text = edgefusion("bundle", "inspect", place / "bundle").stdout
    assert "gates       int8: none; it runs with --ungated only" in text
    assert "none in this machine's cache" in text


def half(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def flipped(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


BAD = {
    "half a file": (lambda p: ["run", "--bundle", half(p / "bundle.efb")], 4, "not a packed bundle, or cut off; copy"),
    "a changed byte": (lambda p: ["build", "--bundle", flipped(p / "bundle.efb")], 4, "damaged (Bad CRC-32 for file"),
    "no bundle": (lambda p: ["run", "--bundle", p / "ours.pub"], 4, "ours.pub: not a packed bundle"),
    "nothing there": (lambda p: ["bundle", "verify", p / "none.efb"], 4, "none.efb: not a bundle: no manifest.json"),
    "unpack a folder": (
        lambda p: ["bundle", "unpack", p / "bundle", "--out", p / "x"], 4, "bundle: cannot read it (Is a directory)",
    ),
    "unpack over a folder": (
        lambda p: ["bundle", "unpack", p / "bundle.efb", "--out", p / "signed"], 4, "signed: exists already; choose",
    ),
    "pack over a folder": (
        lambda p: ["bundle", "pack", p / "bundle", "--out", p / "signed"], 3, "signed: cannot write (Is a directory)",
    ),
    "pack to nowhere": (
        lambda p: ["bundle", "pack", p / "bundle", "--out", p / "x" / "b.efb"], 3, "cannot write (No such file",
    ),
    "sign a file": (
        lambda p: ["bundle", "sign", p / "bundle.efb", "--key", p / "ours.pem"], 4, "unpack it first: edgefusion",
    ),
    "sign with the public key": (
        lambda p: ["bundle", "sign", p / "bundle", "--key", p / "ours.pub"], 4, "not an unencrypted Ed25519PrivateKey",
    ),
    "keys that exist": (lambda p: ["bundle", "keygen", "--out", p / "ours"], 4, "ours.pem: exists already; choose"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_whatever_is_wrong_is_one_line_and_nothing_is_left(edgefusion: Call, place: Path, name: str) -> None:
    make, code, message = BAD[name]
    words = make(place)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    result = edgefusion(*words)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert (result.stderr.startswith("edgefusion: "), result.stderr.count("\n")) == (True, 1)
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "words",
    [
        ("bundle", "pack", "bundle", "--out", "new.efb"),
        ("bundle", "unpack", "bundle.efb", "--out", "new"),
        ("bundle", "sign", "bundle", "--key", "ours.pem"),
        ("bundle", "keygen", "--out", "new"),
        ("run", "--bundle", "bundle.efb", "--precision", "fp32", "--frames", "1"),
    ],
)
def test_a_full_disk_is_named_and_every_bundle_is_as_it_was(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(place)
    before = {path: path.read_bytes() if path.is_file() else b"" for path in place.rglob("*")}
    done = run_with_little_disk(100, *words)
    assert done.returncode == 3, done.stderr
    assert "cannot write (File too large); choose a writable folder with free space" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path: path.read_bytes() if path.is_file() else b"" for path in place.rglob("*")} == before
    assert load_bundle(place / "bundle").manifest == load_bundle(place / "bundle.efb").manifest


def test_quantize_asks_for_a_folder(edgefusion: Call, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with [quantize]")
    pack_bundle(load_bundle(), tmp_path / "bundle.efb")
    result = edgefusion("quantize", "--bundle", tmp_path / "bundle.efb", "--holdout", tmp_path)
    assert result.exit_code == 4
    assert "bundle.efb: a packed bundle cannot be changed; unpack it first: edgefusion bundle unpack" in result.stderr
