from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from bundles import small_bundle

from edgefusion.core.bundle import MANIFEST, SCHEMA, Gate, add_models, load_bundle, shipped_bundle, write_bundle
from edgefusion.core.errors import BundleError

GATE = Gate(passed=True, accepted=False, max_drop=0.01, holdout="39 pairs", pairs=39, psnr_db=50.0, numerics="by hand")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_bundle(), tmp_path / "bundle"))


def edit(path: Path, **changes: object) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**manifest, **changes}))


def test_the_shipped_bundle_is_small_and_says_where_it_comes_from() -> None:
    bundle = load_bundle()
    assert set(bundle.manifest.precisions) >= {"fp32", "fp16"}
    assert sum(file.stat().st_size for file in bundle.path.rglob("*")) < 2_000_000
    assert "diffusion ensemble" in bundle.manifest.student.objective
    assert bundle.manifest.training.data
    assert "--seed" in bundle.manifest.training.command


@pytest.mark.parametrize("name", ["model.fp32.onnx", "model.fp16.onnx", MANIFEST])
def test_one_changed_byte_anywhere_is_found(bundle: Path, name: str) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "model.fp16.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx is missing"):
        load_bundle(bundle)


def test_a_newer_schema_says_update(bundle: Path) -> None:
    edit(bundle, schema=99)
    with pytest.raises(BundleError, match="schema 99; this edgefusion reads up to 2; update it"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "manifest.json"])
def test_a_manifest_names_no_file_outside_of_the_bundle(bundle: Path, name: str) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    raw["files"][name] = hashlib.sha256(b"").hexdigest()
    del raw["digest"]
    raw["digest"] = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=r"is no plain relative name of a file|which it may not"):
        load_bundle(bundle)


def test_an_edited_manifest_is_found(bundle: Path) -> None:
    edit(bundle, licence="mine")
    with pytest.raises(BundleError, match="changed after it was written"):
        load_bundle(bundle)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        load_bundle(tmp_path)


def test_a_precision_the_bundle_lacks_names_those_it_has(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no int8 model; it has: fp32"):
        small_bundle(bundle).model("int8")


def test_a_manifest_from_before_operators_were_named_has_none_inside(bundle: Path) -> None:
    fields = load_bundle(bundle).manifest.model_dump(by_alias=True, exclude={"files", "digest", "schema_version"})
    fields["layout"].pop("inside")
    files = {name: (bundle / name).read_bytes() for name in load_bundle(bundle).manifest.files}
    assert write_bundle(bundle, files, fields).manifest.layout.inside == ()


def test_a_bundle_of_schema_1_is_read_and_its_small_models_passed_no_gate(bundle: Path) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    assert raw["schema"] == SCHEMA
    old = {key: value for key, value in raw.items() if key not in ("gates", "digest")} | {"schema": 1}
    digest = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()
    (bundle / MANIFEST).write_text(json.dumps({**old, "digest": digest}))
    assert load_bundle(bundle).model("fp32").is_file()
    with pytest.raises(BundleError, match="the fp16 model passed no quality gate"):
        load_bundle(bundle).model("fp16")
    assert load_bundle(bundle, ungated=True).model("fp16").is_file()


def test_a_model_over_its_budget_is_not_to_be_had_by_accident(bundle: Path) -> None:
    over = GATE.model_copy(update={"passed": False, "accepted": True})
    add_models(load_bundle(bundle), {"int8": b"model"}, {"int8": over}, {})
    with pytest.raises(BundleError, match="the int8 model is over its quality budget"):
        load_bundle(bundle).model("int8")


def test_adding_a_model_keeps_everything_else(bundle: Path) -> None:
    before = load_bundle(bundle)
    after = add_models(before, {"int8": b"model"}, {"int8": GATE}, {"quality.json": b"{}"})
    assert after.model("int8").read_bytes() == b"model"
    assert (bundle / "quality.json").read_bytes() == b"{}"
    assert after.manifest.gates == {**before.manifest.gates, "int8": GATE}
    assert after.model("fp32").read_bytes() == (shipped_bundle() / "model.fp32.onnx").read_bytes()
    assert after.manifest.training == before.manifest.training
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
