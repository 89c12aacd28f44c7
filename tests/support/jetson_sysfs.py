"""The files by which a Jetson's kernel shows its power monitors, temperatures and clocks.

``write_files`` puts them under a folder. As a program it runs a command that sees them as /sys, in a mount namespace of
its own (root only; nothing outside changes), so that the jetson-stats service runs in it as it is:

    python jetson_sysfs.py orin-nx-16 COMMAND [ARG ...]

Names, units and layout are those of the modules; values are invented. in*_input is mV, curr*_input mA, temp
millidegrees, cur_freq Hz. They are plain files: a test changes a reading by writing one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Chip:
    """A power monitor: its name, its I2C address, the labels of its channels."""

    name: str
    address: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Module:
    """What differs between modules."""

    model: str
    compatible: str
    chips: tuple[Chip, ...]
    gpu: str = "17000000.gpu"
    alerts: tuple[str, ...] = ("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2")


MODULES = {
    "orin-nx-16": Module(
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        "nvidia,p3768-0000+p3767-0000",
        (Chip("ina3221", "1-0040", ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")),),
    ),
    "agx-orin-64": Module(
        "NVIDIA Jetson AGX Orin Developer Kit",
        "nvidia,p3737-0000+p3701-0005",
        (
            Chip("ina3221", "1-0040", ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")),
            Chip("ina3221", "1-0041", ("NC", "VDDQ_VDD2_1V8AO", "NC")),
        ),
    ),
    "thor-t5000": Module(
        "NVIDIA Jetson AGX Thor Developer Kit",
        "nvidia,p4071-0000+p3834-0008",
        (
            Chip("ina3221", "2-0040", ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0")),
            Chip("ina238", "2-0044", ("VIN",)),
        ),
        gpu="gpu-gpc-0",
        alerts=("cpu", "gpu", "soc012", "soc345"),
    ),
}
MILLIVOLTS = 5000
UPDATE_MS = 34
ZONES = ("cpu-thermal", "gpu-thermal", "soc0-thermal", "tj-thermal")


def write_files(root: Path, module: str) -> None:
    """Everything under ``root``/sys, as that module has it."""
    facts = MODULES[module]
    for index, chip in enumerate(facts.chips):
        _write_chip(root, chip, index + 1)
    _write_zones(root)
    alerts = [f"{part}-throttle-alert" for part in facts.alerts]
    _write_cooling(root, ["cpufreq-cpu0", "pwm-fan", *alerts, "hot-surface-alert", f"devfreq-{facts.gpu}"])
    _write_gpu(root / "sys/class/devfreq" / facts.gpu)
    events = {"name": "soctherm_oc", **{f"oc{k}_event_cnt": "0" for k in (1, 2, 3)}}
    _write_hwmon(root, "sys/bus/platform/devices/soctherm-oc-event", 9, events)
    _write_hwmon(root, "sys/devices/platform/pwm-tach", 8, {"name": "pwm_tach", "rpm": "1850"})
    base = root / "sys/firmware/devicetree/base"
    write(base / "model", facts.model + "\0")
    write(base / "compatible", facts.compatible + "\0nvidia,tegra\0")


def rail_files(root: Path, label: str) -> dict[str, Path]:
    """The files of one rail: in, curr, and what else its channel has, by the part of the name before its number."""
    for path in root.glob("sys/bus/i2c/devices/*/hwmon/hwmon*/in*_label"):
        if path.read_text().strip() == label:
            k = path.name.removeprefix("in").removesuffix("_label")
            names = {"label": f"in{k}_label", "volts": f"in{k}_input", "amperes": f"curr{k}_input"}
            names["alarm"] = f"curr{k}_crit_alarm"
            return {what: path.with_name(name) for what, name in names.items()}
    raise LookupError(label)


def cooling_state(root: Path, kind: str) -> Path:
    """The file that says how much a cooling device does."""
    for path in root.glob("sys/class/thermal/cooling_device*/type"):
        if path.read_text().strip() == kind:
            return path.with_name("cur_state")
    raise LookupError(kind)


def write(path: Path, text: str) -> None:
    """A file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def skip_without_namespaces() -> None:
    """Skip a test that needs the files at /sys itself."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace with a Jetson's /sys needs root")
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("no mount namespaces here (unshare -m)")


def command(module: str, *words: str | Path) -> list[str | Path]:
    """The command line that runs ``words`` where /sys is that module's."""
    return [sys.executable, Path(__file__), module, *words]


def _write_chip(root: Path, chip: Chip, index: int) -> None:
    bus = f"sys/bus/i2c/devices/{chip.address}"
    files = {"name": chip.name, "update_interval": str(UPDATE_MS)}
    for k, label in enumerate(chip.labels, 1):
        files |= {f"in{k}_label": label, f"in{k}_input": str(MILLIVOLTS), f"curr{k}_input": str(k * 700)}
        files |= {f"curr{k}_max": "4000", f"curr{k}_crit": "5000", f"curr{k}_crit_alarm": "0"}
    write(root / bus / "name", chip.name + "\n")
    _write_hwmon(root, bus, index, files)


def _write_hwmon(root: Path, device: str, index: int, files: dict[str, str]) -> None:
    folder = root / device / f"hwmon/hwmon{index}"
    for name, text in files.items():
        write(folder / name, text + "\n")
    _link(root / f"sys/class/hwmon/hwmon{index}", folder)


def _write_zones(root: Path) -> None:
    for index, kind in enumerate(ZONES):
        folder = root / f"sys/devices/virtual/thermal/thermal_zone{index}"
        write(folder / "type", kind + "\n")
        write(folder / "temp", f"{45000 + 1500 * index}\n")
        _link(root / f"sys/class/thermal/thermal_zone{index}", folder)


def _write_cooling(root: Path, kinds: list[str]) -> None:
    for index, kind in enumerate(kinds):
        folder = root / f"sys/devices/virtual/thermal/cooling_device{index}"
        for name, text in (("type", kind), ("cur_state", "1" if kind == "pwm-fan" else "0"), ("max_state", "4")):
            write(folder / name, text + "\n")
        _link(root / f"sys/class/thermal/cooling_device{index}", folder)


def _write_gpu(folder: Path) -> None:
    """What jetson-stats asks of a GPU, and more than edgefusion does."""
    write(folder / "device/of_node/name", "gpu\0")
    texts = {"governor": "nvhost_podgov", "available_governors": "nvhost_podgov performance", "cur_freq": "612000000"}
    texts |= {"max_freq": "918000000", "min_freq": "306000000", "device/load": "734", "device/railgate_enable": "1"}
    texts |= {"device/tpc_pg_mask": "252", "device/enable_3d_scaling": "0", "device/power/control": "auto"}
    for name, text in texts.items():
        write(folder / name, text + "\n")


def _link(link: Path, folder: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(folder, link.parent))


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def _enter(module: str) -> None:
    """Put the module's files where the kernel's are, in this mount namespace; keep what else programs need of /sys."""
    keep = Path(tempfile.mkdtemp())
    _mount("--make-rprivate", "/")
    (keep / "sys").mkdir()
    _mount("--rbind", "/sys", keep / "sys")
    _mount("-t", "tmpfs", "tmpfs", "/sys")
    for folder in ("kernel", "module", "fs", "block", "class/power_supply", "devices/virtual/dmi/id", "devices/system"):
        Path("/sys", folder).mkdir(parents=True)
    _mount("--rbind", keep / "sys/devices/system", "/sys/devices/system")
    write_files(Path("/"), module)
    write(Path("/sys/devices/virtual/dmi/id/board_name"), module)
    _mount("-t", "tmpfs", "tmpfs", "/run")  # where the service of jetson-stats listens; its group is jtop
    write(keep / "group", Path("/etc/group").read_text() + "jtop:x:4242:\n")
    _mount("--bind", keep / "group", "/etc/group")


def main(module: str, *words: str) -> None:
    """Enter a namespace of its own, then the module's, then the command."""
    if os.environ.get("JETSON_SYSFS") != module:
        os.environ["JETSON_SYSFS"] = module
        os.execvp("unshare", ["unshare", "-m", "--", sys.executable, __file__, module, *words])  # noqa: S606
    _enter(module)
    os.execvp(words[0], list(words))  # noqa: S606


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in MODULES:
        sys.exit(f"usage: jetson_sysfs.py {'|'.join(MODULES)} COMMAND [ARG ...]")
    main(*sys.argv[1:])
