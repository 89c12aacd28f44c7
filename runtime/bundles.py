"""``edgefusion bundle``: what its commands find out and make, as facts to print."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from edgefusion.core.bundle import Bundle, load_bundle
from edgefusion.core.errors import BundleError
from edgefusion.core.packing import pack_bundle, unpack_bundle
from edgefusion.core.signing import Signature, load_signed, read_signature, sign_bundle, write_keys
from runtime.engines.listing import engines_of

Facts = dict[str, Any]


def inspect(path: Path | None) -> Facts:
    """What a bundle holds: its manifest, and what a manifest does not say.

    ``models`` and ``dla`` have bytes, ``signature`` is checked against no key, ``engines`` are this machine's.

    Raises:
        BundleError: a damaged bundle.
        MachineError: no cache folder.
    """
    bundle = load_bundle(path)
    manifest = bundle.manifest
    sizes = {name: (bundle.path / name).stat().st_size for name in sorted(manifest.files)}
    models = {name: {"file": file, "bytes": sizes[file]} for name, file in manifest.precisions.items()}
    return {
        "path": str(bundle.place),
        **manifest.model_dump(by_alias=True, mode="json"),
        "models": models,
        "dla": {name: size for name, size in sizes.items() if name.startswith("dla/")},
        "signature": _signature(read_signature(bundle)),
        "engines": [{**dataclasses.asdict(engine), "path": str(engine.path)} for engine in engines_of(bundle)],
    }


def verify(path: Path | None, key: Path | None) -> Facts:
    """Check every hash, the signature if a key is given, and that every model can be read and is what it should be.

    Raises:
        BundleError: damaged, not signed by that key, or with a model that is none.
        InputError: not a public key.
        MachineError: a key, and no ``cryptography``.
    """
    bundle = load_signed(path, key)
    names = [name for name in sorted(bundle.manifest.files) if name.endswith(".onnx")]
    for name in names:
        _check_model(bundle, name)
    found = read_signature(bundle)
    return {
        "bundle": str(bundle.place),
        "digest": bundle.manifest.digest,
        "files": len(bundle.manifest.files),
        "models": names,
        "signed_by": found.fingerprint if found else None,
        "key": str(key) if key else None,
    }


def pack(path: Path, out: Path) -> Facts:
    """Write a bundle as one file; see ``pack_bundle``."""
    content = pack_bundle(load_bundle(path), out)
    return {"packed": str(out), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def unpack(path: Path, out: Path) -> Facts:
    """Write a packed bundle as a directory; see ``unpack_bundle``."""
    bundle = unpack_bundle(path, out)
    return {"bundle": str(bundle.path), "files": len(bundle.manifest.files)}


def sign(path: Path, key: Path) -> Facts:
    """Sign a bundle; see ``sign_bundle``."""
    return {"bundle": str(path), "signed_by": sign_bundle(path, key).fingerprint}


def keygen(out: Path) -> Facts:
    """Make a pair of keys; see ``write_keys``."""
    secret, public = write_keys(out)
    return {"private_key": str(secret), "public_key": str(public)}


def _signature(found: Signature | None) -> Facts | None:
    return {**found.model_dump(), "fingerprint": found.fingerprint} if found else None


def _check_model(bundle: Bundle, name: str) -> None:
    """See that OpenVINO reads a model, and that those of the manifest's precisions have the contract's tensors."""
    import openvino as ov

    try:
        model = ov.Core().read_model((bundle.path / name).read_bytes())
        found = {port.get_any_name(): _shape(port.partial_shape) for port in (*model.inputs, *model.outputs)}
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2][:200]
        raise BundleError(f"{name} is no model that OpenVINO reads ({reason})", where=bundle.place) from error
    wanted = _contract(bundle)
    if name in bundle.manifest.precisions.values() and found != wanted:
        raise BundleError(f"{name} has the tensors {found}, not {wanted}", where=bundle.place)


def _contract(bundle: Bundle) -> dict[str, list[int]]:
    layout = bundle.manifest.layout
    columns, rows = (-(-side // 4) for side in layout.size_px)
    return {layout.input: [1, 32, rows, columns], layout.output: [1, 16, rows, columns]}


def _shape(shape: Any) -> list[int]:
    """-1 where a side is open."""
    return [-1 if side.is_dynamic else side.get_length() for side in shape]
