"""An ``nvpmodel`` that is none: a script that keeps its mode in a file, with the configuration it is said to read."""

from __future__ import annotations

from pathlib import Path

CONF = """\
# an excerpt, as JetPack's
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=MAXN_SUPER >
CPU_ONLINE CORE_0 1
<  POWER_MODEL ID=2 NAME=15W  >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=3 NAME=MODE_30W_REBOOT >
< PM_CONFIG DEFAULT=2 >
"""

SCRIPT = """\
#!/bin/sh
here="{folder}"
echo "$*" >> "$here/calls"
case "$1" in
  -q) number=$(cat "$here/mode")
      echo "NV Power Mode: $(sed -n "s/.*POWER_MODEL ID=$number NAME=\\([^ ]*\\).*/\\1/p" "$here/nvpmodel.conf")"
      echo "$number" ;;
  -m) if [ "$2" = 3 ]; then
        echo "Reboot required for changing to this power mode: 3; DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
        read answer; echo "answered $answer" >> "$here/calls"
      elif [ -e "$here/refuse" ]; then echo "NVPM ERROR: permission denied" >&2; exit 1
      else echo "$2" > "$here/mode.new"; mv "$here/mode.new" "$here/mode"; fi ;;
esac
"""


class FakeNvpmodel:
    """In a folder that is to be put on PATH.

    Attributes:
        conf: its configuration.
        calls: what it was called with.
    """

    def __init__(self, folder: Path, *, number: int = 2) -> None:
        self.folder, self.conf = folder, folder / "nvpmodel.conf"
        folder.mkdir(exist_ok=True)
        self.conf.write_text(CONF)
        (folder / "mode").write_text(f"{number}\n")
        script = folder / "nvpmodel"
        script.write_text(SCRIPT.format(folder=folder))
        script.chmod(0o755)

    @property
    def number(self) -> int:
        return int((self.folder / "mode").read_text())

    @property
    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def refuse(self) -> None:
        """From now on it may not change the mode."""
        (self.folder / "refuse").touch()
