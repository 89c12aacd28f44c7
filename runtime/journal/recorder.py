"""Records a run, in a thread beside the loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.journal.compact import compact
from runtime.journal.lines import Header
from runtime.journal.recording import Recording, journal_path
from runtime.journal.snapshot import Snapshot
from runtime.report.schema import RunRecord, State


class Recorder:
    """Writes ``run.jsonl`` once a second while it is entered; ``finish`` makes ``run.json`` of it.

    Left without ``finish``, as by an error, the journal stays, and reads as a killed run's.

    Args:
        path: of the record to be, ``run.json``.
        header: what is known at the start.
        snapshot: what the run has done so far; called by the recorder's thread, and by ``finish`` in its caller's.
        say: told what an operator should know, from the recorder's thread.
        options: of ``Recording``: power, readings, energy, clock.

    Raises:
        MachineError: nothing can be written there, or another run records there.
        UsageError: the name is that of a journal.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        snapshot: Callable[[], Snapshot],
        *,
        say: Callable[[str], None],
        **options: Any,
    ) -> None:
        self._path, self._say = path, say
        self._recording = Recording(journal_path(path), header, snapshot, say=say, **options)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._recording.close()

    def finish(self, state: State) -> RunRecord:
        """The run has ended: write the rest, and make the record of the journal, which goes.

        Args:
            state: complete, or interrupted if a signal ended it.

        Raises:
            MachineError: the disk is full; the journal stays.
            InputError: the record contradicts itself, or no frame was published; the journal stays.
        """
        self._stop()
        self._recording.end(state)
        return compact(self._recording.path, to=self._path)

    def _stop(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        due_s = time.monotonic()
        try:
            while True:
                due_s = max(due_s + self._recording.step_s, time.monotonic())
                if self._over.wait(due_s - time.monotonic()):
                    return
                self._recording.step()
        except Exception as error:  # whatever it is, it is no reason to end a run
            what = f"recording stopped after an error: {error!r}"
            self._recording.remark(what)
            self._say(what)
