"""jtop's own service and client, where /sys is a Jetson's."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jetson_sysfs
import pytest

from edgefusion.core.errors import MachineError
from runtime.power import jtop

MEASURE = """
import json, sys, time
from pathlib import Path
from jetson_sysfs import rail_files
from jtop_service import Service
from power_curve import Load
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler

service = Service()
load = Load(rail_files(Path("/"), sys.argv[1])["amperes"], 60.0, period_s=4.0)
with Sampler(find_meters(names=["jtop"])) as sampler:
    time.sleep(1.5)
    for attempt in range(5):  # again where this machine kept service or client waiting
        begin = time.monotonic_ns()
        sampler.begin(begin)
        time.sleep(4.0)
        end = time.monotonic_ns()
        (meter,) = sampler.end(end)
        if meter.coverage > 0.999:
            break
load.stop()
service.kill()
print(json.dumps({"joules": load.curve().joules(begin, end, 5000), "meter": meter.model_dump()}))
"""

LOSE = """
import json, time
from jtop_service import Service
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler

def wait_for(there):
    deadline = time.monotonic() + 60
    while ("jtop/VDD_IN" in sampler.second()) != there:
        assert time.monotonic() < deadline
        time.sleep(2.0)

service = Service()
with Sampler(find_meters(names=["jtop"])) as sampler:
    sampler.begin(time.monotonic_ns())
    wait_for(True)
    service.kill()
    wait_for(False)
    service = Service()
    wait_for(True)
    (meter,) = sampler.end(time.monotonic_ns())
service.kill()
print(json.dumps({"meter": meter.model_dump()}))
"""

FREEZE = """
import json, time
from jtop_service import Service
from runtime.power.meters import find_meters
from runtime.power.sampler import Sampler

service = Service()
with Sampler(find_meters(names=["jtop"])) as sampler:
    time.sleep(1.5)
    sampler.begin(time.monotonic_ns())
    time.sleep(1.5)
    service.freeze()
    time.sleep(8.0)
    (meter,) = sampler.end(time.monotonic_ns())
service.kill()
print(json.dumps({"meter": meter.model_dump()}))
"""


def inside(module: str, program: str, *words: str) -> dict:
    jetson_sysfs.skip_without_namespaces()
    if importlib.util.find_spec("jtop") is None:
        pytest.skip("jetson-stats is not installed (edgefusion[jetson])")
    line = jetson_sysfs.command(module, sys.executable, "-c", program, *words)
    found = [str(Path.cwd()), str(Path(jetson_sysfs.__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": ":".join(found)}
    done = subprocess.run(line, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=280)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "rail", "scope", "summed"),
    [
        ("orin-nx-16", "VDD_IN", "module input", 0),
        ("agx-orin-64", "VDD_CPU_CV", "sum of rails", 3),
        ("thor-t5000", "VIN", "board input", 0),
    ],
)
def test_the_service_reads_a_known_curve(module: str, rail: str, scope: str, summed: int) -> None:
    found = inside(module, MEASURE, rail)
    meter = found["meter"]
    measured = next(other["joules"] for other in meter["rails"] if other["name"] == rail)
    assert meter["coverage"] > 0.999
    assert (meter["scope"], len(meter["summed"])) == (scope, summed)
    assert measured == pytest.approx(found["joules"], rel=0.01)


@pytest.mark.slow
def test_a_service_that_is_killed_in_mid_run_is_marked_and_connected_to_again() -> None:
    meter = inside("orin-nx-16", LOSE)["meter"]
    assert any("the jtop service stopped" in text for text in meter["remarks"])
    assert 0 < meter["coverage"] < 1
    assert meter["missed"] > 0
    assert meter["joules"] > 0


@pytest.mark.slow
def test_a_service_that_hangs_is_marked_and_holds_up_nothing() -> None:
    meter = inside("orin-nx-16", FREEZE)["meter"]
    assert "the jtop service stopped: it says nothing" in meter["remarks"]
    assert meter["coverage"] < 0.5


def test_no_service_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no jtop service"):
        jtop.open_meter(tmp_path)
