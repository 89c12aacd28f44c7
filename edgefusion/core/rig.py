"""The rig: two cameras and their geometry, from ``rig.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgefusion.core import toml
from edgefusion.core.errors import InputError, RigError
from edgefusion.core.frames import THERMAL_FORMATS, VISIBLE_FORMATS, PixelFormat
from edgefusion.core.geometry import Matrix, Size, check_registration, resize_map, scale_registration


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Camera(_Part):
    """One camera."""

    size_px: tuple[int, int] = Field(description="(width, height) the registration is given for")
    format: PixelFormat
    bits: int = Field(16, ge=8, le=16, description="significant bits of a Y16 reading")


class Rig(_Part):
    """``rig.toml``. The registration maps a visible pixel to the thermal point it shows."""

    visible: Camera
    thermal: Camera
    registration: tuple[tuple[float, float, float], ...]
    schema_version: Literal[1] = Field(1, alias="schema")

    @field_validator("registration")
    @classmethod
    def _invertible(cls, rows: tuple[tuple[float, float, float], ...]) -> tuple[tuple[float, float, float], ...]:
        try:
            check_registration(rows)
        except InputError as error:
            raise ValueError(error.what) from error
        return rows

    def registration_for(self, visible: Size, thermal: Size) -> Matrix:
        """[3, 3] registration for frames of these sizes."""
        matrix = check_registration(self.registration)
        return scale_registration(
            matrix, visible=(self.visible.size_px, visible), thermal=(self.thermal.size_px, thermal)
        )


def registered(visible: Size, thermal: Size) -> Matrix:
    """The registration of a recording that is registered already: the two images show the same view."""
    return np.eye(3) if visible == thermal else resize_map(visible, thermal)


def load_rig(path: Path) -> Rig:
    """Read and check a ``rig.toml``.

    Raises:
        RigError: missing, not TOML (with the line), or a field that is wrong (with its name).
    """
    try:
        rig = Rig(**toml.loads(path.read_text()))
    except OSError as error:
        raise RigError(f"cannot read it ({error.strerror})", where=path) from error
    except toml.TOMLDecodeError as error:
        raise RigError(f"not TOML: {error}", where=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise RigError(f"{field}: {first['msg']}", where=path, remedy="see docs/rig.md") from error
    _check_format(path, "visible", rig.visible.format, VISIBLE_FORMATS)
    _check_format(path, "thermal", rig.thermal.format, THERMAL_FORMATS)
    return rig


def _check_format(path: Path, camera: str, given: PixelFormat, allowed: tuple[PixelFormat, ...]) -> None:
    if given not in allowed:
        names = ", ".join(pixel_format.value for pixel_format in allowed)
        raise RigError(f"{camera}.format: {given.value} is not one of {names}", where=path)
