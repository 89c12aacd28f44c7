"""The bundle: what one ships. A directory with a manifest, and the files whose hashes the manifest holds.

Or one file, which holds the same (``core.archive``).
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgefusion.core.archive import check_names, from_archive, read_archive
from edgefusion.core.cache import cache_folder, locked
from edgefusion.core.dla import FOLDER as DLA
from edgefusion.core.errors import BundleError
from edgefusion.core.files import write_folder
from edgefusion.core.mistakes import first_mistake

MANIFEST = "manifest.json"
SIGNATURE = "signature"
"""May lie beside the manifest (``core.signing``); no file of the manifest's."""
SCHEMA = 2
"""2 added ``gates``; a bundle of schema 1 is read as one whose FP16 and INT8 models passed none."""

OPERATORS = frozenset({"Conv", "Relu", "Clip", "Sigmoid", "Add", "Mul", "Slice"})
"""The engine contract's: what every accelerator runs, a DLA too."""

Precision = Literal["fp32", "fp16", "int8"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudentInfo(_Part):
    """The network: its family name, its size, and what it was trained to do."""

    arch: str
    parameters: int
    objective: str


class Layout(_Part):
    """The engine contract: how pixels lie in the tensors.

    ``phases4``: input ``x`` [1, 32, H/4, W/4], 16 visible luma phases and 16 thermal ones, phase 4*dy+dx, in 0..1;
    output ``y`` [1, 16, H/4, W/4], fused luma.
    """

    name: Literal["phases4"] = "phases4"
    input: str = "x"
    output: str = "y"
    size_px: tuple[int, int] = Field(description="(width, height) the models are stored for; rewritten at build")
    inside: tuple[str, ...] = Field((), description="operators of the models beyond ``OPERATORS``; a DLA may lack them")


class AgcInfo(_Part):
    """The thermal gain control of training, which the runtime repeats (``kernels.agc.AgcSpec``)."""

    low_percentile: float
    high_percentile: float
    median_ceiling: float
    smoothing: float
    min_span_counts: float


class DataSource(_Part):
    """A data set that weights were trained on."""

    name: str
    pairs: int
    licence: str


class Training(_Part):
    """Where the weights come from."""

    command: str
    seed: int
    data: tuple[DataSource, ...]
    settings: dict[str, Any]
    versions: dict[str, str]


class Gate(_Part):
    """What the quality gate of a precision found; the figures themselves are in ``quality.json``.

    Attributes:
        passed: every gated figure's interval was within the budget.
        accepted: it was not, and whoever made the bundle took it nevertheless (``--accept-drop``).
        max_drop: the budget, a share of each FP32 figure.
        holdout: what was judged on, in words.
        pairs: how many frame pairs.
        psnr_db: of the output against FP32's, before rounding, over all pairs.
        numerics: what computed it.
    """

    passed: bool
    accepted: bool
    max_drop: float
    holdout: str
    pairs: int
    psnr_db: float
    numerics: str


class Manifest(_Part):
    """``manifest.json``, schema 2."""

    schema_version: int = Field(alias="schema")
    name: str
    licence: str
    student: StudentInfo
    layout: Layout
    agc: AgcInfo
    precisions: dict[Precision, str] = Field(description="precision -> model file")
    gates: dict[Precision, Gate] = Field({}, description="of every precision but fp32")
    training: Training
    files: dict[str, str] = Field(description="file -> SHA-256")
    digest: str = Field(description="SHA-256 of this manifest without this field")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose every byte was checked against its manifest.

    Attributes:
        path: the directory with its files; of a packed one, in this machine's cache.
        manifest: what it says.
        ungated: whoever loaded it also takes models that passed no quality gate.
        packed: the file it came in.
    """

    path: Path
    manifest: Manifest
    ungated: bool = False
    packed: Path | None = None

    @property
    def place(self) -> Path:
        """Where whoever loaded it knows it to be."""
        return self.packed or self.path

    def model(self, precision: Precision) -> Path:
        """The ONNX file of a precision.

        Raises:
            BundleError: the bundle has no such precision, or it passed no quality gate and not ``ungated``.
        """
        if precision not in self.manifest.precisions:
            have = ", ".join(self.manifest.precisions)
            raise BundleError(f"no {precision} model", where=self.place, remedy=f"it has: {have}")
        gate = self.manifest.gates.get(precision)
        if precision != "fp32" and not self.ungated and not (gate and gate.passed):
            what = "is over its quality budget" if gate else "passed no quality gate"
            raise BundleError(
                f"the {precision} model {what}",
                where=self.place,
                remedy="edgefusion quantize makes one that passed; --ungated takes it as it is",
            )
        return self.path / self.manifest.precisions[precision]


def shipped_bundle() -> Path:
    """Where the bundle lies that comes with the package."""
    return Path(str(resources.files("edgefusion.assets"))) / "proxy-nano"


def load_bundle(path: Path | None = None, *, ungated: bool = False, in_place: bool = False) -> Bundle:
    """Read a bundle and check the hash of every file.

    Args:
        path: the bundle's directory, or a packed bundle, which is unpacked into this machine's cache; the shipped
            one if None.
        ungated: also take models that passed no quality gate.
        in_place: the caller is going to change it, so that it must be a directory.

    Raises:
        BundleError: not a bundle, of a newer schema, changed since it was written, or packed and ``in_place``.
        MachineError: the cache is not writable or full.
    """
    path = path or shipped_bundle()
    if not path.is_file():
        return Bundle(path, _check_folder(path), ungated)
    if in_place:
        remedy = f"unpack it first: edgefusion bundle unpack {path} --out DIR"
        raise BundleError("a packed bundle cannot be changed", where=path, remedy=remedy)
    content = read_archive(path)
    manifest, files = unpacked(content, path)
    return Bundle(_in_cache(hashlib.sha256(content).hexdigest(), files), manifest, ungated, packed=path)


def _check_folder(path: Path) -> Manifest:
    try:
        text = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise BundleError(f"not a bundle: no {MANIFEST} ({error.strerror})", where=path) from error
    manifest = _parse_manifest(text, path / MANIFEST)
    _check_hashes(manifest, lambda name: (path / name).read_bytes(), path)
    return manifest


def _check_hashes(manifest: Manifest, read: Callable[[str], bytes], where: Path) -> None:
    for name, expected in manifest.files.items():
        try:
            actual = hashlib.sha256(read(name)).hexdigest()
        except OSError as error:
            raise BundleError(f"{name} is missing ({error.strerror})", where=where, remedy="copy it again") from error
        if actual != expected:
            raise BundleError(
                f"{name} was changed after the bundle was written", where=where, remedy="copy the bundle again"
            )
    unlisted = set(manifest.precisions.values()) - set(manifest.files)
    if unlisted:
        raise BundleError(f"no hash for {', '.join(sorted(unlisted))}", where=where / MANIFEST)


def unpacked(content: bytes, where: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and all files of a packed bundle, checked, in memory.

    Raises:
        BundleError: not a packed bundle, a damaged or a hostile one.
    """
    files = from_archive(content, where)
    if MANIFEST not in files:
        raise BundleError(f"not a bundle: no {MANIFEST}", where=where)
    manifest = _parse_manifest(files[MANIFEST], where)
    wanted = {*manifest.files, MANIFEST}
    odd = sorted(wanted ^ (files.keys() - {SIGNATURE}))
    if odd:
        raise BundleError(f"{odd[0]} is {'missing' if odd[0] in wanted else 'not in its manifest'}", where=where)
    _check_hashes(manifest, files.__getitem__, where)
    return manifest, files


def _in_cache(key: str, files: dict[str, bytes]) -> Path:
    """The folder of this machine's cache with these files; written again if anything there differs."""
    folder = cache_folder() / "bundles" / key
    with locked(folder):
        if not all((folder / name).is_file() and (folder / name).read_bytes() == files[name] for name in files):
            write_folder(folder, files)
    return folder


def write_bundle(path: Path, files: dict[str, bytes], fields: dict[str, Any]) -> Bundle:
    """Write a bundle in one stroke: it is whole or not there, and replaces one of the same path.

    Args:
        path: the directory to make.
        files: relative name -> content.
        fields: the manifest without ``schema``, ``files`` and ``digest``.

    Raises:
        MachineError: the place is not writable or full.
    """
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    raw = {"schema": SCHEMA, **fields, "files": hashes}
    raw["digest"] = _digest(raw)
    Manifest(**raw)
    write_folder(path, {**files, MANIFEST: (json.dumps(raw, indent=2) + "\n").encode()})
    return load_bundle(path)


def _parse_manifest(text: bytes, where: Path) -> Manifest:
    try:
        raw = json.loads(text)
        schema = raw["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError("not a bundle manifest", where=where, remedy="copy the bundle again") from error
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(f"schema {schema}; this edgefusion reads up to {SCHEMA}", where=where, remedy="update it")
    if raw.get("digest") != _digest(raw):
        raise BundleError("the manifest was changed after it was written", where=where, remedy="copy the bundle again")
    try:
        manifest = Manifest(**raw)
    except ValidationError as error:
        raise BundleError(first_mistake(error), where=where) from error
    check_names({*manifest.files, MANIFEST, SIGNATURE}, where)
    if {MANIFEST, SIGNATURE} & manifest.files.keys():
        raise BundleError(f"it lists {MANIFEST} or {SIGNATURE}, which it may not", where=where)
    return manifest


def _digest(raw: dict[str, Any]) -> str:
    body = {key: value for key, value in raw.items() if key != "digest"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def add_models(
    bundle: Bundle, models: dict[Precision, bytes], gates: dict[Precision, Gate], files: dict[str, bytes]
) -> Bundle:
    """The bundle again, in its place, with more precisions or other models for those it has.

    It is another bundle then: a signature is left out, with a warning. The files for a DLA belong to one INT8 model:
    with another they go, unless ``files`` has new ones.

    Args:
        bundle: to add to.
        models: precision -> ONNX.
        gates: of each of ``models``.
        files: to lie beside them: name -> content.

    Raises:
        MachineError: the place is not writable or full; the bundle is as it was.
    """
    fields = bundle.manifest.model_dump(by_alias=True, mode="json", exclude={"files", "digest", "schema_version"})
    stays = [name for name in bundle.manifest.files if not (name.startswith(DLA) and "int8" in models)]
    kept = {name: (bundle.path / name).read_bytes() for name in stays}
    names = {precision: f"model.{precision}.onnx" for precision in models}
    fields["precisions"] |= names
    fields["gates"] |= {precision: gate.model_dump() for precision, gate in gates.items()}
    added = {names[precision]: model for precision, model in models.items()}
    if (bundle.path / SIGNATURE).exists():
        warnings.warn("the bundle's signature was of what it was before and is left out: sign it again", stacklevel=2)
    return write_bundle(bundle.path, {**kept, **added, **files}, fields)
