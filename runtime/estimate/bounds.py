"""Rooflines: how soon a device could have done a model's operations and moved its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgefusion.core.bundle import Precision
from edgefusion.core.devices import Device
from runtime.estimate.layers import Layer, Model


@dataclass(frozen=True)
class Clock:
    """What a device can do at most at one setting of its clocks; None where unknown.

    Attributes:
        name: ``normal``, ``super`` (the Super power modes) or a power mode.
        gpu_ghz: the GPU's.
        peaks: number format -> dense operations per second.
        bytes_per_s: memory bandwidth.
    """

    name: str
    gpu_ghz: float | None
    peaks: dict[Precision, float | None]
    bytes_per_s: float | None


@dataclass(frozen=True)
class Bound:
    """The least time a frame takes; None where nothing is known of the device.

    Attributes:
        ms: if each launch moves what it reads and writes through memory.
        cached_ms: if only the input, the output and the weights go through memory. Direct convolutions are no faster.
        limit: what takes the longer in most of ``ms``: ``compute``, ``memory``, or ``memory alone``: no peak is known.
    """

    ms: float | None
    cached_ms: float | None
    limit: str

    @property
    def fps(self) -> float | None:
        """Frames per second of ``ms``."""
        return 1000 / self.ms if self.ms else None


def clocks(device: Device) -> Iterator[Clock]:
    """The settings of a device whose clock is known: normal, super, and power modes that devices.toml has."""
    yield _clock("normal", device, device.gpu_ghz, (device.int8_tops, device.fp16_tops), device.bandwidth_gb_s)
    memory = device.super_bandwidth_gb_s or device.bandwidth_gb_s
    if device.super_gpu_ghz:
        peaks = (device.super_int8_tops, device.super_fp16_tops)
        yield _clock("super", device, device.super_gpu_ghz, peaks, memory)
    for mode in device.modes:
        peaks = (_scaled(device, device.int8_tops, mode.gpu_ghz), _scaled(device, device.fp16_tops, mode.gpu_ghz))
        yield _clock(mode.name, device, mode.gpu_ghz, peaks, mode.bandwidth_gb_s or memory)


def _clock(name: str, device: Device, ghz: float | None, tops: tuple[float | None, ...], gb_s: float | None) -> Clock:
    cuda = 2 * device.cuda_cores * ghz / 1000 if device.cuda_cores and ghz else None
    fp32, int8, fp16 = (_times(value, 1e12) for value in (cuda, *tops))
    return Clock(name, ghz, {"fp32": fp32, "fp16": fp16, "int8": int8}, _times(gb_s, 1e9))


def _scaled(device: Device, peak: float | None, ghz: float) -> float | None:
    return peak * ghz / device.gpu_ghz if peak and device.gpu_ghz else None


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


def bound(model: Model, clock: Clock) -> Bound:
    """The roofline of a whole model: launches one after another, nothing in between."""
    if clock.bytes_per_s is None:
        return Bound(None, None, "unknown")
    compute = [compute_s(layer, clock) for layer in model.layers]
    memory = [layer.traffic / clock.bytes_per_s for layer in model.layers]
    known = [seconds or 0.0 for seconds in compute]
    each = [max(pair) for pair in zip(known, memory, strict=True)]
    by_memory = sum(total for total, moved in zip(each, memory, strict=True) if total == moved)
    least = (model.io_bytes + sum(layer.weight_bytes for layer in model.layers)) / clock.bytes_per_s
    limit = "memory alone" if None in compute else "memory" if by_memory > sum(each) / 2 else "compute"
    return Bound(1e3 * sum(each), 1e3 * max(sum(known), least), limit)


def compute_s(layer: Layer, clock: Clock) -> float | None:
    """Seconds of a launch's arithmetic at peak, or None where the peak is unknown."""
    peak = clock.peaks[layer.compute]
    return layer.operations / peak if peak else None


def layer_ms(layer: Layer, clock: Clock) -> float | None:
    """The bound of one launch in milliseconds, or None where nothing is known."""
    if clock.bytes_per_s is None:
        return None
    return 1e3 * max(compute_s(layer, clock) or 0.0, layer.traffic / clock.bytes_per_s)
