"""Power modes of a Jetson, through NVIDIA's ``nvpmodel``: which there are, setting one, and putting back what was.

Numbers differ by module and JetPack: they are read, never known. Not yet run on hardware (docs/hardware-status.md).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edgefusion.core.errors import InputError, MachineError, RunError, UsageError
from runtime import log
from runtime.engines.machine import NVPMODEL, power_modes
from runtime.profile.guard import READY, TIMEOUT_S, set_mode

CONF = NVPMODEL[1]

_CURRENT = re.compile(r"^\s*NV Power Mode:\s*(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class PowerMode:
    """A mode as ``nvpmodel`` numbers and names it."""

    number: int
    name: str


def parse_modes(text: str) -> list[PowerMode]:
    """The modes of ``nvpmodel.conf``.

    Raises:
        InputError: it names none.
    """
    modes = [PowerMode(number, name) for number, name in power_modes(text).items()]
    if not modes:
        raise InputError(
            "names no power mode", where=CONF, remedy="nvpmodel -p --verbose says what nvpmodel makes of it"
        )
    return modes


class PowerModes:
    """Changes the power mode while inside, and has it put back on leaving, however this process ends.

    A process beside this one does that (``guard``), also after SIGKILL; a loss of power it cannot undo, and
    ``nvpmodel`` keeps a mode over reboots.

    Raises:
        MachineError: this is no Jetson, or the mode cannot be read.
        RunError: on leaving, the mode was not put back; where another error ends the block, the log says so instead.
    """

    def __init__(self, conf: Path | None = None) -> None:
        conf = conf or CONF
        found = shutil.which("nvpmodel")
        if found is None or not conf.is_file():
            missing = "nvpmodel" if found is None else str(conf)
            raise MachineError(f"no power modes here: {missing} is not there", remedy="leave power-mode out")
        self._nvpmodel = found
        self.modes = parse_modes(conf.read_text())
        self._guard: subprocess.Popen[str] | None = None

    def __enter__(self) -> PowerModes:
        self._before = self.current()
        command = [sys.executable, "-m", "runtime.profile.guard", self._nvpmodel, str(self._before.number)]
        self._guard = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._guard.stdout is not None  # noqa: S101
        if self._guard.stdout.readline() != READY:
            self._leave()
            raise MachineError("the process that would put the power mode back did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        wrong = self._not_put_back()
        if not wrong:
            return
        remedy = f"sudo nvpmodel -m {self._before.number}"
        if error is not None:  # this one must not hide it; a warning is shown where no log was asked for, too
            facts = {"state": "not put back", "was": self._before.name, "why": wrong, "remedy": remedy}
            log.LOGGER.warning(log.Event("power-mode", facts))
            return
        raise RunError(f"the power mode was not put back: {wrong}", where=self._before.name, remedy=remedy)

    def _not_put_back(self) -> str:
        """Why, or nothing where it was: nvpmodel ends well for a mode that it does not take without a reboot."""
        try:
            now = self.current()
        except MachineError as error:
            return str(error)
        return "" if now == self._before else f"it stays {now.name}, which may need a reboot to leave"

    def _leave(self) -> None:
        assert self._guard is not None  # noqa: S101
        with self._guard:  # closes its standard input, and waits
            pass

    def named(self, name: str) -> PowerMode:
        """The mode of that name or number.

        Raises:
            UsageError: there is none.
        """
        for mode in self.modes:
            if name in (mode.name, str(mode.number)):
                return mode
        have = ", ".join(mode.name for mode in self.modes)
        raise UsageError(f"no power mode {name!r}", where="--power-mode", remedy=f"this machine has: {have}")

    def current(self) -> PowerMode:
        """The mode that is in use.

        Raises:
            MachineError: nvpmodel does not tell.
        """
        try:
            done = subprocess.run(  # noqa: S603
                [self._nvpmodel, "-q"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MachineError(f"cannot ask for the power mode ({error})", where=self._nvpmodel) from error
        name = _CURRENT.search(done.stdout)
        known = [mode for mode in self.modes if name and mode.name == name[1]]
        if not known:
            said = " ".join((done.stdout + done.stderr).split()) or f"exit code {done.returncode}"
            raise MachineError(
                f"nvpmodel -q does not name a mode of {CONF} ({said})", where=self._nvpmodel, remedy="run it as root"
            )
        return known[0]

    def set(self, mode: PowerMode) -> None:
        """Change to a mode; inside only, where it will be put back.

        Raises:
            MachineError: it is not taken: not permitted, or the mode needs a reboot.
        """
        assert self._guard is not None  # noqa: S101
        wrong = set_mode(self._nvpmodel, mode.number)
        now = self.current()
        if now != mode:
            raise MachineError(
                f"the power mode stays {now.name}{f' ({wrong})' if wrong else ''}",
                where=mode.name,
                remedy="run it as root; some modes need a reboot: set those by hand and profile without power-mode",
            )
