"""What every test may use."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hardware import missing

from edgefusion.cli import main

# A shell's background jobs begin with SIGINT ignored, and so would every process that a test begins and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and those of nohup with SIGHUP


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked with hardware that is not here, and say what lacks."""
    if reason := missing({mark.name for mark in item.iter_markers()}):
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Engines of one test run stay in its own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEFUSION_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data() -> Path:
    """The development data, or a skip that says how to get it."""
    folder = os.environ.get("EDGEFUSION_DATA")
    if not folder:
        pytest.skip("EDGEFUSION_DATA is not set: real recordings are needed")
    return Path(folder)


@pytest.fixture(scope="session")
def edgefusion() -> Callable[..., Result]:
    """Calls the command line in this process: ``edgefusion("run", "--frames", 3)``."""

    def call(*words: object) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words])

    return call


@pytest.fixture
def ring_name(request: pytest.FixtureRequest) -> Iterator[str]:
    """A ring's name that no other test has; what is left of it is removed."""
    name = f"test-{os.getpid()}-{zlib.crc32(request.node.nodeid.encode())}"
    yield name
    for path in Path("/dev/shm").glob(f"*{name}*"):  # noqa: S108
        path.unlink()
