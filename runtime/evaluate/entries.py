"""What is compared: students, folders of fused images, baselines. Each makes the fused image of a pair."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from edgefusion.core.bundle import Bundle, Precision, load_bundle
from edgefusion.core.devices import Device, find_device
from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.frames import FramePair
from edgefusion.kernels.agc import AgcSpec
from edgefusion.recordings.images import ImagePair, list_images, read_visible
from runtime.engines.cache import build
from runtime.evaluate.baselines import BASELINES
from runtime.evaluate.views import Bytes, Levels, luma, thermal_levels, whole, with_luma
from runtime.fusion import open_fusion


@dataclass(frozen=True)
class Fused:
    """A fused image, valid until the next one is fused.

    Attributes:
        levels: [H, W], grey levels 0..255, not rounded: what fusion metrics judge.
        rgb: makes [H, W, 3] uint8: what a detector sees.
    """

    levels: Levels
    rgb: Callable[[], Bytes]


Fuse = Callable[[FramePair], Fused]
"""A pair -> its fused image."""

ENGINE_SIDE_PX = 29
"""Smallest image side a student takes: 32 after padding to a multiple of four."""


class Entry(Protocol):
    """One row of the comparison; it travels to other processes, and is opened there.

    Attributes:
        name: what the user calls it.
        kind: ``student``, ``folder``, ``video`` or ``baseline``.
        identity: changes with whatever could change its images, but not with the pair.
        smallest_side_px: images with a shorter side it cannot fuse.
        fuses: whether it fuses any pair, or only has images of the pairs as they are.
        facts: what else to report about it.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def smallest_side_px(self) -> int: ...  # noqa: D102
    @property
    def fuses(self) -> bool: ...  # noqa: D102
    @property
    def facts(self) -> dict[str, str]: ...  # noqa: D102

    def reads(self, pair: ImagePair) -> Path | None:
        """The file beside the pair's own that its fused image depends on."""

    def open(self) -> Fuse:
        """Make ready in this process."""


@dataclass(frozen=True)
class Student:
    """A bundle's model of one precision, run by the very stages that the vehicle runs."""

    name: str
    bundle: Path | None
    precision: Precision
    device: str
    identity: str
    facts: dict[str, str] = field(default_factory=dict)
    kind = "student"
    smallest_side_px = ENGINE_SIDE_PX
    fuses = True

    def reads(self, pair: ImagePair) -> Path | None:
        """Nothing beside the pair."""
        return None

    def open(self) -> Fuse:
        """Load the bundle; engines are built for each size that comes."""
        fusion = open_fusion(load_bundle(self.bundle, ungated=True), find_device(self.device), precision=self.precision)

        def fuse(pair: FramePair) -> Fused:
            width, height = fusion.prepare(pair.visible, pair.thermal)
            fusion.forget()
            fusion.pack(pair)
            fusion.execute()

            def rgb() -> Bytes:
                image = np.empty((height, width, 3), np.uint8)
                fusion.unpack(pair.visible, image)
                return image

            return Fused(np.asarray(fusion.luma() * 255, np.float32), rgb)

        return fuse


@dataclass(frozen=True)
class Baseline:
    """A rule without a network."""

    name: str
    agc: AgcSpec
    kind = "baseline"
    smallest_side_px = 1
    fuses = True

    @property
    def identity(self) -> str:
        """The rule's name and the gain control of 16-bit thermal."""
        return f"baseline {self.name} {self.agc}"

    @property
    def facts(self) -> dict[str, str]:
        """None."""
        return {}

    def reads(self, pair: ImagePair) -> Path | None:
        """Nothing beside the pair."""
        return None

    def open(self) -> Fuse:
        """The rule, on visible luma and thermal levels; chroma is the visible picture's, but thermal alone is grey."""
        rule, agc, grey = BASELINES[self.name], self.agc, self.name == "thermal"

        def fuse(pair: FramePair) -> Fused:
            visible = _rgb(pair)
            levels = rule(luma(visible), thermal_levels(pair.thermal, agc).astype(np.float32))
            return Fused(levels, lambda: _grey_rgb(levels) if grey else with_luma(visible, levels))

        return fuse


@dataclass(frozen=True)
class FusedFolder:
    """Images that were fused before, by whatever method: grey, or RGB of which luma is taken."""

    name: str
    files: dict[str, Path]
    kind = "folder"
    identity = "folder"
    smallest_side_px = 1
    fuses = False

    @property
    def facts(self) -> dict[str, str]:
        """None."""
        return {}

    def reads(self, pair: ImagePair) -> Path | None:
        """The fused image of the pair."""
        return self.files[pair.name]

    def open(self) -> Fuse:
        """Read a pair's image."""

        def fuse(pair: FramePair) -> Fused:
            rgb = read_visible(self.files[pair.name])
            return Fused(luma(rgb), lambda: rgb)

        return fuse


def _rgb(pair: FramePair) -> Bytes:
    return pair.visible.pixels.astype(np.uint8, copy=False)


def _grey_rgb(levels: Levels) -> Bytes:
    return np.repeat(whole(levels)[..., None], 3, axis=2)


def open_students(
    bundles: Sequence[Path | None], precisions: Sequence[Precision], device: Device, *, ungated: bool
) -> tuple[list[Student], AgcSpec]:
    """An entry for each bundle and precision, and the gain control of the first bundle.

    Raises:
        BundleError: a damaged bundle, or one without that precision, or without its gate and not ``ungated``.
        MachineError: no backend for the device here.
    """
    loaded = [load_bundle(path, ungated=ungated) for path in bundles]
    students = [
        _student(path, bundle, name, precision, device)
        for path, bundle, name in zip(bundles, loaded, _names(bundles, loaded), strict=True)
        for precision in precisions
    ]
    return students, AgcSpec(**loaded[0].manifest.agc.model_dump())


def _names(bundles: Sequence[Path | None], loaded: Sequence[Bundle]) -> list[str]:
    """The name of a bundle's folder; the whole path where two folders have one name."""
    short = [
        path.resolve().name if path else bundle.manifest.name for path, bundle in zip(bundles, loaded, strict=True)
    ]
    return [str(path) if short.count(name) > 1 and path else name for path, name in zip(bundles, short, strict=True)]


def _student(path: Path | None, bundle: Bundle, name: str, precision: Precision, device: Device) -> Student:
    """Built once here for the bundle's own size, so that what is wrong shows before anything is measured."""
    built = build(bundle, device, size_px=bundle.manifest.layout.size_px, precision=precision)
    facts = {key: str(built.facts[key]) for key in ("precision", "compute", "backend", "device")}
    bound_to = {key: built.facts[key] for key in ("onnx_sha256", "target", *facts)}
    identity = json.dumps({**bound_to, "agc": bundle.manifest.agc.model_dump()}, sort_keys=True)
    return Student(f"{name} {precision}", path, precision, device.name, identity, facts)


def named_path(given: str) -> tuple[str, Path]:
    """The two halves of ``NAME=PATH``.

    Raises:
        UsageError: not of that form.
    """
    name, separator, path = given.partition("=")
    if not (name and separator and path):
        raise UsageError(f"--fused {given}", remedy="give NAME=DIR, such as max=fused/max; of a clip NAME=VIDEO")
    return name, Path(path)


def find_fused(given: str, pairs: Sequence[ImagePair]) -> FusedFolder:
    """The fused image of each pair that has one, from ``NAME=DIR``.

    Pairs called ``SET/STEM`` (of a split) are looked for as ``DIR/SET/STEM.*`` and, where no two have one stem,
    as ``DIR/STEM.*``.

    Raises:
        UsageError: not NAME=DIR.
        InputError: no such folder, or no image of any pair in it.
    """
    name, folder = named_path(given)
    if not folder.is_dir():
        raise InputError("no such folder of fused images", where=folder)
    stems = [pair.name.rpartition("/")[2] for pair in pairs]
    places = {place: _images(folder / place) for place in {"", *(pair.name.rpartition("/")[0] for pair in pairs)}}
    files = {}
    for pair, stem in zip(pairs, stems, strict=True):
        own = places[pair.name.rpartition("/")[0]].get(stem)
        flat = places[""].get(stem) if stems.count(stem) == 1 else None
        if own or flat:
            files[pair.name] = own or flat
    if not files:
        raise InputError("no fused image has the name of a pair", where=folder, remedy="name it as the visible image")
    return FusedFolder(name, {key: path for key, path in files.items() if path})


def _images(folder: Path) -> dict[str, Path]:
    try:
        return list_images(folder)
    except InputError:
        return {}


def in_order(students: Sequence[Entry], stored: Sequence[Entry], agc: AgcSpec, *, baselines: bool) -> list[Entry]:
    """Everything that is compared: students first, then what is stored, then baselines."""
    return [*students, *stored, *(Baseline(name, agc) for name in (BASELINES if baselines else ()))]


def sources_alone(entries: Sequence[Entry], agc: AgcSpec) -> list[Entry]:
    """Visible and thermal, where they are not compared: figures of a detector or of flicker say little without them."""
    compared = [entry.name for entry in entries if isinstance(entry, Baseline)]
    return [Baseline(name, agc) for name in ("visible", "thermal") if name not in compared]


def check_names(entries: Sequence[Entry]) -> None:
    """Raise UsageError where two entries have one name."""
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"several entries are called {', '.join(twice)}", remedy="name each once")
