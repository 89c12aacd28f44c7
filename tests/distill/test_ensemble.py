from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little_memory import run_with_little_memory
from PIL import Image
from scenes import write_folder, write_tar

torch = pytest.importorskip("torch", reason="torch comes with [train]")
timm = pytest.importorskip("timm", reason="timm comes with [train]")
pytest.importorskip("diffusers", reason="diffusers comes with [train]")

from diffusers import DDPMScheduler  # noqa: E402
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from distill.backbones import load_backbones  # noqa: E402
from distill.ensemble import EnsembleSettings, Place, Share, places, write_ensemble  # noqa: E402
from distill.planes import open_planes  # noqa: E402
from distill.shards import PLAN, Unit, open_shard, read_ensemble, read_plan, read_shard  # noqa: E402
from distill.teachers import lessons, open_teacher, prior  # noqa: E402
from distill.teachers.folder import save_teacher  # noqa: E402
from distill.teachers.likelihood import Measurement  # noqa: E402
from distill.teachers.sampling import Sampling, sample_seed  # noqa: E402
from distill.welford import Welford  # noqa: E402
from edgefusion.core.errors import InputError, UsageError  # noqa: E402

SETTINGS = EnsembleSettings(samples=3, crops=2, crop_px=32, per_shard=2, batch=2)
SAMPLING = Sampling(steps=2)
OPTIONS = ["--samples", "3", "--crops", "2", "--crop-px", "32", "--per-shard", "2", "--batch", "2", "--steps", "2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, a tiny teacher and a tiny backbone."""
    root = tmp_path_factory.mktemp("ensemble")
    write_folder(root / "data" / "pairs" / "roadscene", ["a", "b", "c", "d", "e", "f"])
    split = {"train": {"roadscene": ["a", "b", "c", "d", "e"], "m3svd_clips": []}, "val": {"roadscene": ["f"]}}
    (root / "data" / "splits.json").write_text(json.dumps(split))
    torch.manual_seed(0)
    for name in ("teacher", "other"):
        save_teacher(root / name, prior.network((16, 32)), prior.schedule(), {"kind": "prior"})
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), root / "eyes.safetensors")
    return root


def write(
    place: Path, out: Path, settings: EnsembleSettings = SETTINGS, names: tuple[str, ...] = ("teacher",), **more: Any
) -> None:
    teachers = [open_teacher(str(place / name), SAMPLING) for name in names]
    eyes = load_backbones([f"test_resnet={place / 'eyes.safetensors'}"])
    pairs = open_planes(str(more.pop("pairs", place / "data")))
    write_ensemble(teachers, eyes, pairs, out, settings, **more)


def command(place: Path, out: Path) -> list[str]:
    call = [sys.executable, "-m", "edgefusion.cli", "distill", "ensemble", "--teacher", str(place / "teacher")]
    call += ["--backbones", f"test_resnet={place / 'eyes.safetensors'}", "--pairs", str(place / "data")]
    return [*call, "--out", str(out), *OPTIONS]


def units(folder: Path) -> list[tuple[Unit, Any]]:
    """Every unit of an ensemble, with the part of the planes that it was drawn for."""
    return [(unit, shard.planes[unit.pair][unit.window]) for shard in read_ensemble(folder) for unit in shard.units]


def alike(one: Path, other: Path) -> bool:
    ours, theirs = units(one), units(other)
    assert [unit.name for unit, _ in ours] == [unit.name for unit, _ in theirs]
    pairs = zip(ours, theirs, strict=True)
    return all(torch.equal(a[1], b[1]) and torch.allclose(a[0].mean, b[0].mean, atol=1e-3) for a, b in pairs)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*"))}


@pytest.fixture(scope="module")
def whole(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "shards"
    write(place, out)
    return out


def test_tars_give_the_very_same_ensemble(place: Path, whole: Path, tmp_path: Path) -> None:
    folder = place / "data" / "pairs" / "roadscene"
    for number, names in enumerate(("abc", "de")):
        write_tar(tmp_path / f"{number}.tar", folder, names, prefix="roadscene/")
    write(place, tmp_path / "out", pairs=f"{tmp_path}/{{0..1}}.tar")
    digests = []
    for out in (whole, tmp_path / "out"):
        for path in sorted(out.glob("shard-*")):
            read_shard(path)  # whose digest is of all that is in it
            with safe_open(path, "pt") as stored:
                digests.append(stored.metadata()["sha256"])
    assert digests[:3] == digests[3:]
    assert read_plan(tmp_path / "out") == read_plan(whole)


def test_welford_is_mean_and_variance() -> None:
    samples = np.random.default_rng(0).normal(3, 2, (7, 4, 5))
    sums = Welford()
    for sample in samples:
        sums.add(torch.from_numpy(sample))
    np.testing.assert_allclose(sums.mean, samples.mean(axis=0))
    np.testing.assert_allclose(sums.variance, samples.var(axis=0, ddof=1))


def test_a_shard_holds_the_statistics_of_the_samples(place: Path, whole: Path) -> None:
    shard = read_shard(whole / "shard-00000-of-00003.safetensors")
    teacher, (eyes,) = (
        open_teacher(str(place / "teacher"), SAMPLING),
        load_backbones([f"test_resnet={place / 'eyes.safetensors'}"]),
    )
    assert shard.provenance["teachers"][0]["sha256"] == teacher.denoiser.digest
    assert shard.provenance["backbones"] == {"test_resnet": eyes.digest}
    assert [unit.name for unit in shard.units] == [f"roadscene/{name}@{n}" for name in "ab" for n in range(2)]
    unit = shard.units[3]
    visible, thermal = shard.planes[unit.pair][unit.window].float()[:, None, None].unbind()
    samples = torch.cat([teacher.draw(visible, thermal, [sample_seed(unit.name, k, 0)]) for k in range(3)])
    assert torch.allclose(unit.mean, samples.mean(dim=0)[0], atol=1e-3)
    assert torch.allclose(unit.variance, samples.var(dim=0)[0], atol=1e-3)
    assert len(unit.features["test_resnet"]) == len(eyes.strides)
    for (mean, variance), layer in zip(unit.features["test_resnet"], eyes.features(samples), strict=True):
        assert torch.allclose(mean.float(), layer.mean(dim=0), atol=0.02)
        assert torch.allclose(variance, layer.var(dim=0).mean(dim=0), atol=0.02)


def test_a_shard_holds_each_pair_whole_and_once_and_an_open_one_gives_its_parts(place: Path, whole: Path) -> None:
    path = whole / "shard-00000-of-00003.safetensors"
    shard, planes = read_shard(path), open_planes(str(place / "data"))
    assert list(shard.planes) == planes.names[:2]
    for index, stored in enumerate(shard.planes.values()):
        assert torch.equal(stored, torch.from_numpy(planes.make(index)))
    unit = shard.units[2]
    with open_shard(path) as opened:
        assert opened.unit(2).name == unit.name
        assert torch.equal(opened.unit(2).mean, unit.mean)
        assert torch.equal(opened.sources(unit), shard.planes[unit.pair][unit.window])
        assert torch.equal(opened.thermal(unit), shard.planes[unit.pair][1])
        assert opened.size_px(unit) == (64, 48)


def test_means_of_whole_pairs_are_kept_as_images_that_evaluate_finds(place: Path, tmp_path: Path) -> None:
    write(place, tmp_path / "out", replace(SETTINGS, crops=0), keep_means=tmp_path / "means")
    for unit, _ in units(tmp_path / "out"):
        with Image.open(tmp_path / "means" / f"{unit.pair}.png") as image:
            seen = np.asarray(image, np.float32) / 255
        np.testing.assert_allclose(seen, unit.mean.float(), atol=0.51 / 255)
    with pytest.raises(UsageError, match="crops"):
        write(place, tmp_path / "crops", keep_means=tmp_path / "means")


def test_a_crop_lies_where_seed_name_and_number_say_and_pairs_can_stay_whole() -> None:
    more = replace(SETTINGS, crops=5)
    assert places("a", (40, 64), more)[:2] == places("a", (40, 64), SETTINGS)
    assert places("a", (40, 64), SETTINGS) != places("a", (40, 64), replace(SETTINGS, seed=1))
    assert all(crop.top + 32 <= 40 and crop.left + 32 <= 64 for crop in places("a", (40, 64), more))
    assert len({(crop.top, crop.left) for crop in places("a", (40, 64), more)}) > 1
    assert places("a", (40, 64), EnsembleSettings()) == [Place("a", "a", 0, 0, 40, 64)]
    assert places("a", (32, 28), SETTINGS) == []


def test_pairs_smaller_than_a_crop_are_left_out_and_counted(place: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "small", ["s"], size=(28, 28))
    write_folder(tmp_path / "large", ["l"])
    for half in ("visible", "thermal"):
        (tmp_path / "small" / half / "l.png").write_bytes((tmp_path / "large" / half / "l.png").read_bytes())
    rows: list[dict[str, Any]] = []
    write(place, tmp_path / "out", pairs=tmp_path / "small", log=rows.append)
    assert [(row["units"], row["too_small"]) for row in rows] == [(2, 1)]
    assert [unit.pair for unit, _ in units(tmp_path / "out")] == ["l", "l"]
    with pytest.raises(InputError, match="no pair is as large as 68 px; lower --crop-px"):
        write(place, tmp_path / "none", replace(SETTINGS, crop_px=68), pairs=tmp_path / "small")


def test_two_ranks_draw_each_pair_once(place: Path, whole: Path, tmp_path: Path) -> None:
    ranks = [
        subprocess.Popen(
            command(place, tmp_path / "two"),
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=240)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0]
    drawn = [json.loads(line)["shard"] for text in said for line in text.splitlines() if line.startswith("{")]
    assert sorted(drawn) == [f"shard-0000{k}-of-00003.safetensors" for k in range(3)]
    assert all(text.count("{") > 0 for text in said)
    assert alike(whole, tmp_path / "two")


def test_a_killed_rank_is_started_again_alone(place: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def rank(number: int) -> subprocess.Popen[str]:
        share = {"RANK": str(number), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command(place, out), env={**os.environ, **share}, stdout=subprocess.PIPE, text=True)

    first, second = rank(0), rank(1)
    assert first.stdout
    first.stdout.readline()  # its first shard of two is there
    first.kill()
    first.communicate(timeout=120)
    done = contents(out)
    second.communicate(timeout=240)
    with pytest.raises(InputError, match="shards are missing: shard-00002"):
        list(read_ensemble(out))
    rest = [line for line in rank(0).communicate(timeout=240)[0].splitlines() if line.startswith("{")]
    assert [json.loads(line)["shard"] for line in rest] == ["shard-00002-of-00003.safetensors"]
    assert all(contents(out)[name] == content for name, content in done.items())
    assert not list(out.glob(".*.part"))
    assert alike(whole, out)


def test_a_killed_run_is_made_whole_by_the_next(place: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    with subprocess.Popen(command(place, out), stdout=subprocess.DEVNULL) as run:
        started = time.monotonic()
        while not list(out.glob("shard-*")) and time.monotonic() < started + 120:
            time.sleep(0.005)
        run.kill()
    (out / ".shard-00002-of-00003.safetensors.xyz.part").write_bytes(b"half")
    before = contents(out)
    assert 1 <= len(before) <= 3
    rows: list[dict[str, Any]] = []
    write(place, out, log=rows.append)
    assert len(rows) == 3 - len(before)
    after = contents(out)
    assert all(after[name] == content for name, content in before.items())
    assert not list(out.glob(".*.part"))
    assert alike(whole, out)


def test_too_many_samples_at_once_name_what_to_lower(place: Path, tmp_path: Path) -> None:
    words = [*command(place, tmp_path / "out")[3:], "--samples", "16384", "--batch", "16384"]
    run = run_with_little_memory(words)
    assert (run.returncode, run.stderr) == (3, "edgefusion: out of memory; lower --tile-px or --batch\n")


@pytest.mark.parametrize("where", [0.3, 0.6, 0.99])
def test_a_flipped_byte_is_found_and_the_shard_named(whole: Path, tmp_path: Path, where: float) -> None:
    source = whole / "shard-00001-of-00003.safetensors"
    content = bytearray(source.read_bytes())
    content[int(len(content) * where)] ^= 1
    (tmp_path / source.name).write_bytes(content)
    with pytest.raises(InputError, match=r"shard-00001-of-00003\.safetensors.*damaged"):
        read_shard(tmp_path / source.name)


def test_a_truncated_or_missing_shard_is_named(place: Path, tmp_path: Path) -> None:
    write(place, tmp_path / "out")
    last = tmp_path / "out" / "shard-00002-of-00003.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(InputError, match="not an ensemble shard"):
        list(read_ensemble(tmp_path / "out"))
    last.unlink()
    with pytest.raises(InputError, match="1 of 3 shards are missing: shard-00002"):
        list(read_ensemble(tmp_path / "out"))
    with pytest.raises(InputError, match="no ensemble here"):
        list(read_ensemble(tmp_path))


def test_an_ensemble_of_something_else_is_not_gone_on_with(place: Path, whole: Path) -> None:
    with pytest.raises(InputError, match="other: teachers"):
        write(place, whole, names=("other",))
    with pytest.raises(InputError, match="other: settings"):
        write(place, whole, replace(SETTINGS, samples=4))
    with pytest.raises(InputError, match="other: data, names"):
        write(place, whole, pairs=place / "data" / "pairs" / "roadscene")


def test_an_ensemble_of_the_old_layout_is_refused(whole: Path, tmp_path: Path) -> None:
    old = {key: value for key, value in (read_plan(whole) or {}).items() if key != "schema"}
    (tmp_path / PLAN).write_text(json.dumps(old))
    with pytest.raises(InputError, match="an ensemble of layout 1, and this version reads 2; draw it anew"):
        list(read_ensemble(tmp_path))


def test_how_samples_are_drawn_is_chosen_and_recorded(edgefusion, place: Path, whole: Path, tmp_path: Path) -> None:
    chosen = ["--measure", "steepness=3,iterations=1", "--eta", "0.5", "--tile-px", "24", "--overlap-px", "8"]
    result = edgefusion(*command(place, tmp_path / "out")[3:], *chosen, "--precision", "bf16")
    assert result.exit_code == 0, result.output
    shard = "shard-00000-of-00003.safetensors"
    drawn, usual = read_shard(tmp_path / "out" / shard), read_shard(whole / shard)
    (teacher,) = drawn.provenance["teachers"]
    assert teacher["measurement"] == asdict(Measurement(steepness=3.0, iterations=1))
    assert teacher["sampling"] == asdict(Sampling(steps=2, eta=0.5, tile_px=24, overlap_px=8, precision="bf16"))
    assert (drawn.units[0].mean - usual.units[0].mean).abs().mean() > 0.01


def test_teachers_of_one_ensemble_may_differ_in_how_they_draw(place: Path, tmp_path: Path) -> None:
    """The second has another noise schedule, predicts noise, and is drawn from by DPM-Solver."""
    torch.manual_seed(1)
    save_teacher(tmp_path / "linear", prior.network((16, 32)), DDPMScheduler(), {"kind": "prior"})
    sampling = Sampling(scheduler="dpmsolver", steps=3, start=1.0)
    teachers = [open_teacher(str(place / "teacher"), SAMPLING), open_teacher(str(tmp_path / "linear"), sampling)]
    settings = EnsembleSettings(samples=2, crops=1, crop_px=32)
    write_ensemble(teachers, [], open_planes(str(place / "data")), tmp_path / "out", settings)
    unit, sources = units(tmp_path / "out")[0]
    visible, thermal = sources.float()[:, None, None].unbind()
    drawn = [one.draw(visible, thermal, [sample_seed(unit.name, k, 0)]) for k, one in enumerate(teachers)]
    assert torch.allclose(unit.mean, torch.cat(drawn).mean(dim=0)[0], atol=1e-3)
    about = next(iter(read_ensemble(tmp_path / "out"))).provenance
    assert [one["sampling"]["scheduler"] for one in about["teachers"]] == ["ddim", "dpmsolver"]


def test_several_teachers_form_one_ensemble(place: Path, tmp_path: Path) -> None:
    settings = EnsembleSettings(samples=2, crops=1, crop_px=32)
    write(place, tmp_path / "both", settings, names=("teacher", "other"))
    unit, sources = units(tmp_path / "both")[0]
    visible, thermal = sources.float()[:, None, None].unbind()
    drawn = [
        open_teacher(str(place / name), SAMPLING).draw(visible, thermal, [sample_seed(unit.name, k, 0)])
        for k, name in enumerate(("teacher", "other"))
    ]
    assert torch.allclose(unit.mean, torch.cat(drawn).mean(dim=0)[0], atol=1e-3)


def test_samples_are_kept_for_the_conditional_teacher(place: Path, tmp_path: Path) -> None:
    write(place, tmp_path / "out", keep_samples=tmp_path / "samples")
    material = lessons(
        "conditional", open_planes(str(place / "data")), tmp_path / "samples", crop_px=32, batch=4, seed=0
    )
    fused, sources = material.batch(0)
    assert fused.shape == (4, 1, 32, 32)
    assert sources.shape == (4, 2, 32, 32)


def test_the_share_is_what_the_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Share.of_environment() == Share(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert Share.of_environment() == Share(3, 8)
