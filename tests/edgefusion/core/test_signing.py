from __future__ import annotations

import hashlib
import json
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("cryptography", reason="cryptography comes with [sign]")

from cryptography.hazmat.primitives import serialization as to
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edgefusion.core.bundle import MANIFEST, SIGNATURE, Gate, add_models, load_bundle, shipped_bundle
from edgefusion.core.errors import BundleError, InputError, MachineError
from edgefusion.core.packing import pack_bundle, unpack_bundle
from edgefusion.core.signing import check_signature, load_signed, read_signature, sign_bundle, write_keys

GATE = Gate(passed=True, accepted=False, max_drop=0.01, holdout="39 pairs", pairs=39, psnr_db=50.0, numerics="by hand")
MODEL = "model.fp16.onnx"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys") / "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys") / "theirs")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped_bundle(), tmp_path / "bundle"))


@pytest.fixture
def signed(bundle: Path, keys: tuple[Path, Path]) -> Path:
    sign_bundle(bundle, keys[0])
    return bundle


def rewrite(folder: Path, **changes: object) -> None:
    """Change the manifest as somebody would who knows how its digest is made."""
    raw = {**json.loads((folder / MANIFEST).read_text()), **changes}
    del raw["digest"]
    raw["digest"] = hashlib.sha256(json.dumps(raw, sort_keys=True).encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(raw))


def test_a_signed_bundle_loads_as_before_and_with_its_key(signed: Path, keys: tuple[Path, Path]) -> None:
    assert load_bundle(signed).manifest == load_bundle().manifest
    assert load_signed(signed, keys[1]).manifest == load_bundle().manifest
    assert load_signed(signed, None).path == signed


def test_what_is_signed_is_the_manifests_digest(signed: Path, keys: tuple[Path, Path]) -> None:
    found, public = json.loads((signed / SIGNATURE).read_text()), to.load_pem_public_key(keys[1].read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    message = f"edgefusion bundle {load_bundle().manifest.digest}".encode()
    public.verify(bytes.fromhex(found["signature"]), message)
    assert found["key"] == public.public_bytes_raw().hex()


def test_a_signature_travels_in_the_packed_bundle(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    pack_bundle(load_bundle(signed), tmp_path / "x.efb")
    assert load_signed(tmp_path / "x.efb", keys[1]).packed == tmp_path / "x.efb"
    assert check_signature(unpack_bundle(tmp_path / "x.efb", tmp_path / "out"), keys[1])


def test_an_unsigned_bundle_is_refused(bundle: Path, keys: tuple[Path, Path]) -> None:
    with pytest.raises(BundleError, match=r"bundle: not signed; take the one that was signed for \S+ours\.pub"):
        load_signed(bundle, keys[1])


def test_another_key_is_refused_and_named(signed: Path, other: tuple[Path, Path]) -> None:
    found = read_signature(load_bundle(signed))
    assert found
    with pytest.raises(BundleError, match=f"signed by another key, {found.fingerprint}"):
        load_signed(signed, other[1])


def test_signing_again_replaces_the_signature(signed: Path, other: tuple[Path, Path]) -> None:
    sign_bundle(signed, other[0])
    assert load_signed(signed, other[1])


def test_a_manifest_that_was_made_anew_has_not_the_old_signature(signed: Path, keys: tuple[Path, Path]) -> None:
    rewrite(signed, licence="mine")
    assert load_bundle(signed).manifest.licence == "mine"
    with pytest.raises(BundleError, match="bundle: changed after it was signed; copy the signed bundle again"):
        load_signed(signed, keys[1])


def test_a_changed_file_is_found_before_the_signature_is_asked(signed: Path, keys: tuple[Path, Path]) -> None:
    (signed / MODEL).write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.fp16\.onnx was changed"):
        load_signed(signed, keys[1])


def test_a_signature_of_ones_own_under_anothers_key_is_refused(
    signed: Path, keys: tuple[Path, Path], other: tuple[Path, Path]
) -> None:
    made = json.loads((signed / SIGNATURE).read_text())
    sign_bundle(signed, other[0])
    theirs = json.loads((signed / SIGNATURE).read_text())
    (signed / SIGNATURE).write_text(json.dumps({**theirs, "key": made["key"]}))
    with pytest.raises(BundleError, match="changed after it was signed"):
        load_signed(signed, keys[1])


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 9000, b'{"algorithm": "none", "key": "", "signature": ""}'])
def test_what_is_no_signature_is_named(signed: Path, keys: tuple[Path, Path], content: bytes) -> None:
    (signed / SIGNATURE).write_bytes(content)
    assert load_bundle(signed)
    with pytest.raises(BundleError, match="signature is not a signature; sign it again"):
        load_signed(signed, keys[1])


def test_adding_a_model_leaves_the_signature_out_and_says_so(signed: Path, keys: tuple[Path, Path]) -> None:
    with pytest.warns(UserWarning, match="signature was of what it was before and is left out: sign it again"):
        after = add_models(load_bundle(signed), {"int8": b"model"}, {"int8": GATE}, {})
    assert read_signature(after) is None
    with pytest.raises(BundleError, match="not signed"):
        load_signed(signed, keys[1])


def test_only_a_whole_bundle_in_its_folder_is_signed(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    pack_bundle(load_bundle(bundle), tmp_path / "x.efb")
    with pytest.raises(BundleError, match="unpack it first"):
        sign_bundle(tmp_path / "x.efb", keys[0])
    (bundle / MODEL).write_bytes(b"changed")
    with pytest.raises(BundleError, match="was changed"):
        sign_bundle(bundle, keys[0])
    assert not (bundle / SIGNATURE).exists()


def test_the_private_key_is_for_its_owner_alone_and_nothing_is_written_over(tmp_path: Path) -> None:
    secret, public = write_keys(tmp_path / "fleet.2025")
    assert (secret.name, public.name) == ("fleet.2025.pem", "fleet.2025.pub")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert isinstance(to.load_pem_private_key(secret.read_bytes(), None), Ed25519PrivateKey)
    before = secret.read_bytes()
    public.unlink()
    with pytest.raises(InputError, match=r"fleet\.2025\.pem: exists already; choose another --out"):
        write_keys(tmp_path / "fleet.2025")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("fleet.2025.pem", before)]


def test_keys_without_a_folder_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"cannot write \(No such file or directory\)"):
        write_keys(tmp_path / "none" / "key")
    assert list(tmp_path.iterdir()) == []


def encrypted(keys: tuple[Path, Path]) -> bytes:
    key = to.load_pem_private_key(keys[0].read_bytes(), None)
    return key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.BestAvailableEncryption(b"word"))


def elliptic(keys: tuple[Path, Path]) -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())


@pytest.mark.parametrize("make", [encrypted, elliptic, lambda keys: keys[1].read_bytes(), lambda keys: b"", bytes])
def test_what_is_no_private_key_signs_nothing(
    bundle: Path, keys: tuple[Path, Path], tmp_path: Path, make: Callable[..., bytes]
) -> None:
    (tmp_path / "key").write_bytes(make(keys) if make is not bytes else bytes(100))
    with pytest.raises(InputError, match="key: not an unencrypted Ed25519PrivateKey; edgefusion bundle keygen makes"):
        sign_bundle(bundle, tmp_path / "key")
    assert not (bundle / SIGNATURE).exists()


def test_what_is_no_public_key_checks_nothing(signed: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ours\.pem: not an unencrypted Ed25519PublicKey"):
        load_signed(signed, keys[0])
    with pytest.raises(InputError, match=r"none\.pub: cannot read the key \(No such file or directory\)"):
        load_signed(signed, tmp_path / "none.pub")


def test_without_cryptography_the_extra_is_named_and_no_bundle_passes(
    signed: Path, keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    assert load_bundle(signed)
    for use in (lambda: load_signed(signed, keys[1]), lambda: write_keys(tmp_path / "key")):
        with pytest.raises(MachineError, match=r"pip install 'edgefusion\[sign\]'"):
            use()
