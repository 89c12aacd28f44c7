"""A bundle as one file, ``.efb``, and back (``core.archive`` has its form)."""

from __future__ import annotations

from pathlib import Path

from edgefusion.core.archive import check_sizes, read_archive, to_archive
from edgefusion.core.bundle import MANIFEST, SIGNATURE, Bundle, unpacked
from edgefusion.core.errors import InputError
from edgefusion.core.files import atomic_write, write_folder


def pack_bundle(bundle: Bundle, out: Path) -> bytes:
    """Write a bundle as one file, with its signature if it has one: the same bytes on every machine.

    Returns:
        Those bytes.

    Raises:
        BundleError: it changed meanwhile, or is larger than a packed bundle may be.
        MachineError: the place is not writable or full; nothing is written.
    """
    names = [*bundle.manifest.files, MANIFEST]
    if (bundle.path / SIGNATURE).is_file():
        names.append(SIGNATURE)
    files = {name: (bundle.path / name).read_bytes() for name in names}
    check_sizes([len(content) for content in files.values()], bundle.place)
    content = to_archive(files)
    unpacked(content, bundle.place)
    with atomic_write(out) as stream:
        stream.write(content)
    return content


def unpack_bundle(path: Path, out: Path) -> Bundle:
    """Write a packed bundle as a directory, whole or not at all, and nothing outside of it.

    Raises:
        BundleError: not a packed bundle, a damaged or a hostile one.
        InputError: ``out`` exists.
        MachineError: the place is not writable or full.
    """
    manifest, files = unpacked(read_archive(path), path)
    if out.exists():
        raise InputError("exists already", where=out, remedy="choose another --out")
    write_folder(out, files)
    return Bundle(out, manifest)
