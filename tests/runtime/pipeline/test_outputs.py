from __future__ import annotations

import pytest

from edgefusion.core.errors import RunError
from edgefusion.core.rig import Output
from edgefusion.ring.status import list_rings
from runtime.pipeline import outputs
from runtime.sinks.null import NullSink


class FullAtItsEnd(NullSink):
    """A file whose last bytes do not fit."""

    def close(self) -> None:
        raise RunError("the disk is full")


def test_a_sink_that_fails_at_its_end_does_not_keep_the_ring(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "open_sink", lambda to, fps: FullAtItsEnd())
    wanted = [Output(to=f"ring:{ring_name}"), Output(to="fused.mp4")]
    given = outputs.Outputs(wanted, fps=30, live=False, failed=lambda to, error: None)
    given.prepare((64, 48))
    assert ring_name in list_rings()
    with pytest.raises(RunError, match="the disk is full"):
        given.close()
    assert ring_name not in list_rings()
