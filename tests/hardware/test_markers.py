"""Tests are skipped for the hardware that is not here, and only for that."""

from __future__ import annotations

import hardware
import pytest


@pytest.mark.parametrize(
    ("gpu", "jetson", "markers", "reason"),
    [
        ("", "", {"gpu", "jetson"}, ""),
        ("", "no Jetson", {"gpu", "jetson", "slow"}, ""),
        ("", "no Jetson", {"jetson"}, "no Jetson"),
        ("no GPU", "no Jetson", {"gpu", "jetson"}, "no GPU; no Jetson"),
        ("no GPU", "no GPU", {"gpu", "jetson"}, "no GPU"),
        ("no GPU", "no Jetson", {"slow"}, ""),
        ("no GPU", "no Jetson", set(), ""),
    ],
)
def test_a_reason_is_given_only_where_every_kind_is_missing(
    monkeypatch: pytest.MonkeyPatch, gpu: str, jetson: str, markers: set[str], reason: str
) -> None:
    monkeypatch.setattr(hardware, "MISSING", {"gpu": lambda: gpu, "jetson": lambda: jetson})
    assert hardware.missing(markers) == reason


def test_a_gpu_that_auto_would_not_use_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_driver", lambda: True)
    monkeypatch.setattr(hardware, "find_spec", lambda name: True)
    monkeypatch.setattr(hardware.nvml, "gpu_name", lambda *_: "NVIDIA GeForce RTX 9999")
    assert hardware.missing_gpu() == "devices.toml has no row for NVIDIA GeForce RTX 9999"
