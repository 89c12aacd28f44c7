"""Commands of the runtime room: parse, call, print."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any, Literal

import click

from edgefusion.core.geometry import parse_size
from edgefusion.recordings.options import recording_options
from runtime.options import PATH, engine_options, json_option, ungated_option


def _size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    return None if value is None else parse_size(value)


@click.command()
@recording_options
@engine_options("fp16")
@click.option(
    "--rig", "rigs", type=PATH, multiple=True,
    help="rig.toml: run its cameras, or with a recording use its registration. May be repeated.",
)  # fmt: skip
@click.option(
    "--output", "outputs", multiple=True,
    help="ring:NAME, video (.mp4, .mkv ...), .mcap, folder of PNGs, v4l2:/dev/videoN. May be repeated.",
)  # fmt: skip
@click.option("--view", is_flag=True, help="Show both cameras and the fused frames in a browser on this machine.")
@click.option("--preview", type=PATH, help="PNG of the middle frame: visible | thermal | fused.")
@click.option("--record", type=PATH, help="Write the run record (run.json).")
@click.option("--trace", type=PATH, help="Write when every stage of every frame began and ended, for ui.perfetto.dev.")
@click.option(
    "--metrics", metavar="[HOST:]PORT",
    help="Serve live figures for Prometheus there, to this machine alone unless HOST says otherwise ([metrics] extra).",
)  # fmt: skip
@click.option(
    "--idle",
    "idle_s",
    type=click.FloatRange(0),
    default=0.0,
    help="With --record: seconds of idling first, as power's baseline.",
)
@click.option("--frames", type=click.IntRange(0), help="Pairs to take; all of a recording, 300 simulated; 0: no end.")
@click.option("--fps", type=click.FloatRange(0, 1000, min_open=True), help="Pace like a camera; drop what is late.")
@click.option("--seed", default=0, show_default=True, help="Simulated rig: which drive.")
@click.option("--fog", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Simulated rig: 0 to 1.")
@click.option("--prerender", type=click.IntRange(1), help="Simulated rig: render so many pairs first, then repeat.")
@click.option(
    "--log", "log_form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="How changes of state are written to standard error.",
)  # fmt: skip
@json_option
def run(as_json: bool, log_form: Literal["text", "json"], **options: Any) -> None:
    """Fuse what the cameras of --rig see, or a recording, or the simulated rig where neither is given.

    Recordings go as fast as they can, or at --fps. Ctrl-C ends it and finishes what was written.
    """
    from runtime import log
    from runtime import run as room
    from runtime.journal.compact import to_json
    from runtime.preview import live_line

    log.configure(log_form)
    settings = room.RunSettings(**options)
    with live_line(hidden=as_json) as show:
        records = room.run(settings, show=show)
    text = to_json(*records) if as_json else "\n".join(room.describe(record, settings) for record in records)
    click.echo(text, nl=not as_json)


@click.command()
@engine_options("auto")
@click.option("--size", callback=_size, help="Image size as WxH; that of the bundle by default.")
@click.option("--dla", type=click.IntRange(0), metavar="N", help="Put layers on that DLA core of an Orin.")
@click.option("--workspace", type=click.IntRange(1), metavar="MB", help="Most memory of tactics; half of what is free.")
@click.option("--timing-cache", type=PATH, help="TensorRT: tactic timings to begin with and to keep.")
@click.option("--fit-every-gpu", is_flag=True, help="TensorRT: one engine for desktop GPUs from Ampere on; slower.")
@click.option("--force", is_flag=True, help="Compile even if the cache has the engine.")
@click.option("--explain", is_flag=True, help="Print every layer: its format, its time, what it runs on.")
@click.option("--host", metavar="[USER@]HOST[:PORT]", help="Build there, over SSH; the engine stays there.")
@click.option("--identity", type=PATH, metavar="KEY", help="Private key for --host, beside those that ssh takes.")
@click.option("--remote-command", metavar="COMMAND", help="What starts it on --host; edgefusion by default.")
@json_option
def build(
    bundle_path: Path | None,
    device_name: str,
    dla: int | None,
    workspace: int | None,
    timing_cache: Path | None,
    fit_every_gpu: bool,
    explain: bool,
    host: str | None,
    identity: Path | None,
    remote_command: str | None,
    as_json: bool,
    **chosen: Any,
) -> None:
    """Compile a bundle's model for this machine or for --host, into its cache.

    With --precision auto each precision that passed its gate is built and timed here, and the fastest taken.
    """
    from runtime import build as room
    from runtime import remote, tables
    from runtime.engines.base import BuildOptions

    options = BuildOptions(dla=dla, workspace_mb=workspace, fit_every_gpu=fit_every_gpu, timing_cache=timing_cache)
    chosen |= {"options": options}
    there = remote.asked_host(host, identity, remote_command)
    if there:
        say = partial(click.echo, err=True)
        record = remote.build_there(there, bundle_path, device_name, explained=explain, say=say, **chosen)
    else:
        record = room.to_record(room.build_engine(bundle_path, device_name, **chosen), explained=explain)
    click.echo(tables.as_json(record) if as_json else room.describe(record, explained=explain))


@click.command()
@click.option("--bundle", "bundle_path", type=PATH, help="Bundle; the shipped one by default.")
@click.option(
    "--device", "device_names", multiple=True, default=["auto"], show_default=True,
    help="See edgefusion devices; may be repeated; all.",
)  # fmt: skip
@click.option("--size", callback=_size, help="Image size as WxH; that of the bundle by default.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(["fp32", "fp16", "int8"]),
    help="Which of the bundle's models; may be repeated; all by default.",
)  # fmt: skip
@json_option
def estimate(bundle_path: Path | None, device_names: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Bound a model's speed on any device, from the model alone: operations, bytes, launches, rooflines.

    A bound at maximum clock, never a measurement. Needs no such device.
    """
    from runtime.estimate import job, text

    result = job.estimate(bundle_path, device_names, **options)
    click.echo(text.to_json(result) if as_json else text.describe(result))


@click.command()
@click.option("--pairs", help="Folder with visible/ and thermal/, or with splits.json, or tars.")
@recording_options
@click.option("--simulated", is_flag=True, help="The simulated rig, which knows the true boxes.")
@click.option("--frames", type=click.IntRange(2), help="Of a clip; all of a recording, 300 simulated by default.")
@click.option("--fog", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Simulated rig: 0 to 1.")
@click.option("--rig", "rig_path", type=PATH, help="rig.toml with the registration of a recording's two cameras.")
@click.option("--split", default="val", show_default=True, help="Which split, where there is a splits.json.")
@click.option("--bundle", "bundles", multiple=True, type=PATH, help="Bundle; the shipped one if nothing is named.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(["fp32", "fp16", "int8"]), default=["fp16"],
    show_default=True, help="Which of the bundles' models.",
)  # fmt: skip
@ungated_option
@click.option("--device", "device_name", default="auto", show_default=True, help="See edgefusion devices.")
@click.option(
    "--fused",
    multiple=True,
    metavar="NAME=DIR",
    help="Fused before: images, named as the visible; of a clip a video.",
)
@click.option("--baselines/--no-baselines", default=True, help="Compare with visible, thermal, mean, max, laplacian.")
@click.option("--metrics", metavar="LIST", help="Of EN,SD,SF,AG,MI,SCD,VIF,Qabf,SSIM,Nabf,CC; all by default.")
@click.option("--misalign", metavar="SWEEP", help="Move thermal first: px=0:60:10,deg=0:20:5.")
@click.option(
    "--degrade", multiple=True, metavar="KIND[=STEPS]",
    help="Make a picture worse first: night, fog, blur, noise (visible) or stripes (thermal), such as fog=0:0.8:0.2.",
)  # fmt: skip
@click.option("--detector", type=PATH, help="ONNX detector of RGB images, tried on every entry's images.")
@click.option(
    "--labels", type=PATH,
    help="True boxes: COCO json or folder of YOLO files, labels/ by visible/; of a recording MOTChallenge text.",
)  # fmt: skip
@click.option("--classes", metavar="A,B,...", help="Names of YOLO's class numbers; those of classes.txt by default.")
@click.option("--detector-classes", metavar="A,B,...", help="The detector's, where its file does not say.")
@click.option("--workers", type=click.IntRange(1), help="Processes; as many as processors by default.")
@click.option("--seed", default=0, show_default=True, help="Of intervals, sweeps and the simulated drive.")
@click.option("--csv", type=PATH, help="Write each pair's figures to this file.")
@click.option(
    "--html", type=PATH, help="Write one page with tables, curves and the pairs, worst first; needs no network."
)
@click.option("--brake", type=click.IntRange(1), help="Simulate so many approaches to a pedestrian (with --detector).")
@click.option("--brake-kmh", default=30.0, show_default=True, help="Speed of those approaches.")
@click.option(
    "--brake-score", type=click.FloatRange(0.01, 1), default=0.5, show_default=True, help="Detections that count there."
)
@json_option
def evaluate(as_json: bool, **options: Any) -> None:
    """Judge fused images: bundles, folders and baselines side by side, on pairs or on a clip.

    --bundle, --precision, --fused and --degrade may be repeated.
    What is computed is kept at once; an interrupted evaluation goes on where it was.
    """
    from runtime.evaluate import job, text
    from runtime.evaluate.settings import EvaluateSettings

    result = job.evaluate(EvaluateSettings(**options, quiet=as_json))
    click.echo(text.to_json(result) if as_json else text.describe(result))


@click.command()
@click.argument("path", type=PATH, required=False, metavar="[RUN.json]")
@click.option("--compare", "others", type=PATH, multiple=True, metavar="OTHER.json", help="Set it beside this one.")
@click.option("--html", type=PATH, help="Write one page with charts; needs no network, and prints.")
@click.option(
    "--fail-if", multiple=True, metavar='"p99_ms>20"', help="Exit with 5 where that holds, or was not measured."
)
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of run records, and end.")
@json_option
def report(path: Path | None, schema: bool, markdown: bool, as_json: bool, **options: Any) -> None:
    """Say what a recorded run comes to: speed, latency, energy, heat, and what it is bound by.

    --compare and --fail-if may be repeated; gates are about the first run.
    """
    from runtime.report import job, text

    if schema:
        click.echo(job.schema())
        return
    if markdown and as_json:
        raise click.UsageError("--markdown and --json are two ways to print: choose one")
    result = job.report(job.needed(path), **options)
    show = text.to_json if as_json else text.to_markdown if markdown else text.describe
    click.echo(show(result))
    if result.failed:
        raise SystemExit(5)


@click.command()
@json_option
def devices(as_json: bool) -> None:
    """List the devices that edgefusion knows. Peaks are dense; NVIDIA advertises twice that."""
    from runtime import tables

    click.echo(tables.devices_json() if as_json else tables.devices_table())


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Say what this machine has, and what to do about the rest."""
    from runtime import tables
    from runtime.doctor import examine

    findings = examine()
    click.echo(tables.doctor_json(findings) if as_json else tables.doctor_table(findings))
    if any(finding.needed and not finding.ok for finding in findings):
        raise SystemExit(3)


@click.command()
@click.argument("name", required=False)
@click.option("--watch", "watched", is_flag=True, help="Again every second, until Ctrl-C.")
@json_option
def status(name: str | None, watched: bool, as_json: bool) -> None:
    """Say how running instances fare, by their rings: all of this machine, or the one of that NAME.

    Exit code 5 if one is dead, silent, stuck, has lost a camera or cannot be read.
    """
    from runtime import status as room

    def show(rings: list[dict[str, Any]]) -> None:
        if watched and not as_json and sys.stdout.isatty():
            click.clear()
        click.echo(room.to_json(rings, indent=None if watched else 2) if as_json else room.describe(rings))

    if watched:
        raise SystemExit(room.watch(name, show))
    rings = room.collect(name)
    show(rings)
    raise SystemExit(room.exit_code(rings))


@click.group()
def bundle() -> None:
    """Look into a bundle, check it, pack it as one file, sign it."""


@bundle.command()
@click.argument("path", type=PATH, required=False)
@json_option
def inspect(path: Path | None, as_json: bool) -> None:
    """Check every hash of a bundle and show what it holds; the shipped one by default."""
    from runtime import bundles, tables

    facts = bundles.inspect(path)
    click.echo(tables.as_json(facts) if as_json else tables.bundle_table(facts))


@bundle.command()
@click.argument("path", type=PATH, required=False)
@click.option("--key", type=PATH, help="Public key (.pub) that must have signed it.")
@json_option
def verify(path: Path | None, key: Path | None, as_json: bool) -> None:
    """Check every hash, that every model can be read, and with --key who signed it; the shipped one by default."""
    from runtime import bundles, tables

    facts = bundles.verify(path, key)
    click.echo(tables.as_json(facts) if as_json else tables.verified_table(facts))


@bundle.command()
@click.argument("path", type=PATH)
@click.option("--out", type=PATH, required=True, help="File to write, such as bundle.efb.")
@json_option
def pack(path: Path, out: Path, as_json: bool) -> None:
    """Write a bundle as one file: the same bytes on every machine, and --bundle takes it as it is."""
    from runtime import bundles

    _print(bundles.pack(path, out), as_json)


@bundle.command()
@click.argument("path", type=PATH)
@click.option("--out", type=PATH, required=True, help="Folder to make.")
@json_option
def unpack(path: Path, out: Path, as_json: bool) -> None:
    """Write a packed bundle as a folder, once every byte of it is checked."""
    from runtime import bundles

    _print(bundles.unpack(path, out), as_json)


@bundle.command()
@click.argument("path", type=PATH)
@click.option("--key", type=PATH, required=True, help="Private key (.pem, Ed25519).")
@json_option
def sign(path: Path, key: Path, as_json: bool) -> None:
    """Sign a bundle, in its folder (needs the [sign] extra); pack it afterwards."""
    from runtime import bundles

    _print(bundles.sign(path, key), as_json)


@bundle.command()
@click.option("--out", type=PATH, required=True, help="Name of the two files, without .pem and .pub.")
@json_option
def keygen(out: Path, as_json: bool) -> None:
    """Make a pair of keys: NAME.pem signs and stays secret, NAME.pub checks (needs the [sign] extra)."""
    from runtime import bundles

    _print(bundles.keygen(out), as_json)


def _print(facts: dict[str, Any], as_json: bool) -> None:
    from runtime import tables

    click.echo(tables.as_json(facts) if as_json else tables.facts_table(facts))
