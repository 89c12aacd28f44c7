"""Who made a bundle: an Ed25519 signature (RFC 8032) of its manifest's digest, and so of every file in it.

Keys are PEM files, as OpenSSL makes and reads them: PKCS 8 the private one, SubjectPublicKeyInfo the public one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefusion.core.bundle import SIGNATURE, Bundle, load_bundle
from edgefusion.core.errors import BundleError, InputError
from edgefusion.core.files import atomic_write
from edgefusion.core.optional import require

_PURPOSE = "edgefusion bundle "
"""Before the digest in what is signed: a signature made for something else is none of a bundle."""

_MAX_BYTES = 4096


class Signature(BaseModel):
    """The file ``signature``.

    Attributes:
        key: the signer's public key; that it is whose one thinks, only comparing it with a key of one's own shows.
        signature: of ``edgefusion bundle DIGEST``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["ed25519"]
    key: str = Field(pattern="^[0-9a-f]{64}$")
    signature: str = Field(pattern="^[0-9a-f]{128}$")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key."""
        return hashlib.sha256(bytes.fromhex(self.key)).hexdigest()


def load_signed(path: Path | None, key: Path | None, *, ungated: bool = False) -> Bundle:
    """``load_bundle``, and if a public key is given, only what its owner signed.

    Raises:
        BundleError: as of ``load_bundle`` and ``check_signature``.
        InputError: not a public key.
        MachineError: no ``cryptography``.
    """
    bundle = load_bundle(path, ungated=ungated)
    if key:
        check_signature(bundle, key)
    return bundle


def read_signature(bundle: Bundle) -> Signature | None:
    """What lies beside the manifest, checked against no key; None if nothing does.

    Raises:
        BundleError: not a signature.
    """
    path = bundle.path / SIGNATURE
    try:
        with path.open("rb") as stream:
            return Signature.model_validate_json(stream.read(_MAX_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise BundleError(f"{SIGNATURE} is not a signature", where=bundle.place, remedy="sign it again") from error


def check_signature(bundle: Bundle, key: Path) -> Signature:
    """See that the owner of a key signed this very bundle.

    Args:
        bundle: a loaded one, whose files are what its manifest says.
        key: PEM of the public key.

    Raises:
        BundleError: it is not signed, by another key, or was changed since.
        InputError: not a public key.
        MachineError: no ``cryptography``.
    """
    public, found = _public_key(key), read_signature(bundle)
    if found is None:
        raise BundleError("not signed", where=bundle.place, remedy=f"take the one that was signed for {key}")
    if found.key != public.public_bytes_raw().hex():
        what = f"signed by another key, {found.fingerprint}"
        raise BundleError(what, where=bundle.place, remedy=f"take the one that was signed for {key}")
    try:
        public.verify(bytes.fromhex(found.signature), _message(bundle))
    except require("cryptography.exceptions", "sign").InvalidSignature as error:
        what = "changed after it was signed"
        raise BundleError(what, where=bundle.place, remedy="copy the signed bundle again") from error
    return found


def sign_bundle(path: Path, key: Path) -> Signature:
    """Check a bundle and write its signature beside the manifest; an earlier one is replaced.

    Args:
        path: the bundle's directory.
        key: PEM of the private key.

    Raises:
        BundleError: a damaged bundle, or a packed one.
        InputError: not a private key.
        MachineError: no ``cryptography``, or the place is not writable or full.
    """
    bundle, private = load_bundle(path, in_place=True), _private_key(key)
    public = private.public_key().public_bytes_raw().hex()
    made = Signature(algorithm="ed25519", key=public, signature=private.sign(_message(bundle)).hex())
    with atomic_write(path / SIGNATURE) as stream:
        stream.write(made.model_dump_json(indent=2).encode() + b"\n")
    return made


def write_keys(out: Path) -> tuple[Path, Path]:
    """Make a pair of keys: ``out``.pem, which only its owner may read, and ``out``.pub.

    Raises:
        InputError: one of them exists.
        MachineError: no ``cryptography``, or the place is not writable or full; nothing is written.
    """
    secret, public = (out.with_name(out.name + end) for end in (".pem", ".pub"))
    for path in (secret, public):
        if path.exists():
            raise InputError("exists already", where=path, remedy="choose another --out")
    key, to = _ed25519().Ed25519PrivateKey.generate(), _serialization()
    pem = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.NoEncryption())
    pub = key.public_key().public_bytes(to.Encoding.PEM, to.PublicFormat.SubjectPublicKeyInfo)
    with atomic_write(public) as public_stream, atomic_write(secret, mode=0o600) as secret_stream:
        for stream, content in ((secret_stream, pem), (public_stream, pub)):
            stream.write(content)
            stream.flush()  # so that neither is there when the disk is full
    return secret, public


def _message(bundle: Bundle) -> bytes:
    return (_PURPOSE + bundle.manifest.digest).encode()


def _private_key(path: Path) -> Any:
    wanted = _ed25519().Ed25519PrivateKey
    return _key(path, wanted, lambda pem: _serialization().load_pem_private_key(pem, None))


def _public_key(path: Path) -> Any:
    return _key(path, _ed25519().Ed25519PublicKey, _serialization().load_pem_public_key)


def _key(path: Path, wanted: type, load: Callable[[bytes], Any]) -> Any:
    refused = (ValueError, TypeError, require("cryptography.exceptions", "sign").UnsupportedAlgorithm)
    try:
        key = load(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read the key ({error.strerror})", where=path) from error
    except refused:  # not PEM, one of the other half or another kind, or one with a password
        key = None
    if not isinstance(key, wanted):
        remedy = "edgefusion bundle keygen makes NAME.pem, to sign with, and NAME.pub, to check with"
        raise InputError(f"not an unencrypted {wanted.__name__}", where=path, remedy=remedy)
    return key


def _ed25519() -> ModuleType:
    return require("cryptography.hazmat.primitives.asymmetric.ed25519", "sign")


def _serialization() -> ModuleType:
    return require("cryptography.hazmat.primitives.serialization", "sign")
