"""The process that puts the power mode back: when whoever started it closes its standard input, or is gone.

A process that is killed cannot clean up. This one is started beside it and only waits, in a session of its own, so that
neither Ctrl-C nor the end of a terminal reaches it. Standard library only: it starts fast and needs little memory.

    python -m runtime.profile.guard NVPMODEL ID
"""

from __future__ import annotations

import signal
import subprocess
import sys

READY = "ready\n"
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIMEOUT_S = 60.0


def set_mode(nvpmodel: str, number: int) -> str:
    """Ask for a mode; what was wrong, or nothing. A mode that wants a reboot is answered with no.

    That the mode was taken is not known yet: see ``nvpmodel -q``.
    """
    command = [nvpmodel, "-m", str(number)]
    try:
        done = subprocess.run(command, input="no\n", capture_output=True, text=True, timeout=TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"


def main(nvpmodel: str, number: int) -> int:
    """Say that one is ready, wait for the end of standard input, put the mode back; the exit code."""
    for each in IGNORED:
        signal.signal(each, signal.SIG_IGN)
    sys.stdout.write(READY)
    sys.stdout.flush()
    sys.stdin.read()
    wrong = set_mode(nvpmodel, number)
    if wrong:
        sys.stderr.write(f"edgefusion: the power mode could not be put back to {number}: {wrong}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
