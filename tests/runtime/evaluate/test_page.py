"""The page of an evaluation: one file that needs no network and says what it knows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from evaluations import evaluation, without_pairs
from PIL import Image
from scenes import write_folder

from edgefusion.metrics.detection import FIGURES
from edgefusion.metrics.fusion import METRICS
from runtime.evaluate import result as parts
from runtime.evaluate.page import render
from runtime.evaluate.page.guide import GUIDE
from runtime.evaluate.page.numbers import MINUS, NONE, decimals, fixed, signed
from runtime.evaluate.page.thumbnails import BEST, WORST, shown_pairs
from runtime.evaluate.page.verdict import duel, verdict
from runtime.evaluate.result import Evaluation

DOCS = Path(__file__).parents[3] / "docs"
HOSTILE = '<script>document.title = "owned"</script>'
PARTS = ("detection", "stability", "tracking", "braking")


class Parsed(HTMLParser):
    """Tags with their attributes, and what stands in data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == ("script", {"type": "application/json", "id": "data"}):
            self.data += data

    def ids(self) -> list[str]:
        return [name for _, attributes in self.tags if (name := attributes.get("id"))]


def data_of(page: str) -> Any:
    return json.loads(Parsed(page).data)


def words(page: str) -> str:
    """What a reader sees, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"<(script|style).*?</\1>", " ", page, flags=re.DOTALL)))


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = render(evaluation())
    for tag, attributes in Parsed(page).tags:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    assert "@import" not in page
    assert "url(" not in page
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    policy = next(found["content"] for tag, found in Parsed(page).tags if found.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in str(policy)


def test_names_are_text_whatever_they_contain() -> None:
    made = evaluation((HOSTILE, "a&b", "</script><!--", "visible"))
    pairs = [made.per_pair[0].model_copy(update={"name": HOSTILE}), *made.per_pair[1:]]
    page = render(made.model_copy(update={"per_pair": pairs, "source": HOSTILE, "left_out": [HOSTILE]}))
    assert HOSTILE not in page
    assert [tag for tag, _ in Parsed(page).tags].count("script") == 2
    assert data_of(page)["entries"][:3] == [HOSTILE, "a&b", "</script><!--"]
    assert data_of(page)["pairs"]["name"][0] == HOSTILE


def test_every_part_is_there_when_given_and_only_then() -> None:
    full, plain = Parsed(render(evaluation())), Parsed(render(evaluation(full=False)))
    assert [name for name in full.ids() if name in PARTS] == [*PARTS]
    assert not [name for name in plain.ids() if name in PARTS]
    for name in PARTS:
        alone = evaluation().model_copy(update={other: None for other in PARTS if other != name})
        assert [found for found in Parsed(render(alone)).ids() if found in PARTS] == [name]


def test_numbers_of_truths_and_runs_are_said() -> None:
    text = words(render(evaluation()))
    assert "200 images with known truth" in text
    assert "534 true boxes in 200 images" in text
    assert "fewest collisions in 40 runs of our simulation" in text
    assert "A simulation of ours, not a measurement on a road." in text
    assert "Point mass, dry road" in text
    assert "Lamp" in text
    assert "24: 16 day, 8 night" in text


def test_figures_that_are_no_numbers_leave_the_data_readable() -> None:
    made = evaluation(full=False)
    values = {name: {**found, "EN": float("nan")} for name, found in made.per_pair[3].values.items()}
    pairs = [*made.per_pair[:3], made.per_pair[3].model_copy(update={"values": values}), *made.per_pair[4:]]
    data = data_of(render(made.model_copy(update={"per_pair": pairs})))
    assert data["pairs"]["values"][0][data["metrics"].index("EN")][3] is None


@pytest.mark.parametrize("change", [{"scenes": {"day": 24, "night": 0}}, {"curves": []}, {"left_out": []}])
def test_pages_of_less(change: dict[str, Any]) -> None:
    page = render(evaluation(full=False).model_copy(update=change))
    assert ("Day and night" in page, 'id="sweeps"' in page) == (True, "curves" not in change)
    assert ('id="scenes"' in page) == ("scenes" not in change)


def test_parts_of_less() -> None:
    made = evaluation()
    assert made.tracking
    assert made.detection
    assert made.braking
    lone = parts.EntryTracking(tracks=3, median_frames=12.5)
    tracking = made.tracking.model_copy(update={"truth": None, "entries": {"visible": lone}})
    nothing = parts.ClassScores(truths=0, figures=dict.fromkeys(FIGURES))
    blind = parts.EntryDetection(overall=nothing, classes={}, against_visible={})
    detection = made.detection.model_copy(update={"entries": {"visible": blind}})
    braking = made.braking.model_copy(update={"conditions": []})
    curve = made.curves[0].model_copy(update={"entries": {}})
    update = {"tracking": tracking, "detection": detection, "braking": braking, "curves": [curve]}
    text = words(render(made.model_copy(update=update)))
    assert "longest tracks on visible: median 12.5 frames. No true identities" in text
    assert "MOTA" not in text
    assert "had nothing to find" in text
    assert "Every entry is a folder of stored images" in text


def test_a_page_without_pairs() -> None:
    page = render(without_pairs(evaluation()))
    assert "No pairs were judged: there are no fusion metrics" in page
    assert not {"figures", "metrics", "sweeps", "pairs", "sure"} & {*Parsed(page).ids()}
    assert {*PARTS} <= {*Parsed(page).ids()}


def test_one_entry_of_one_metric() -> None:
    made = evaluation(("only",), metrics=("SSIM",), full=False)
    text = words(render(made))
    assert "Only only was judged." in text
    assert "Differences and p-values" not in text


def test_the_guide_is_the_table_of_the_docs() -> None:
    rows = re.findall(r"^\| (\w+) \| (.+?) \| (.+?) \| (.+?) \|$", (DOCS / "evaluate.md").read_text(), re.MULTILINE)
    assert rows[1:] == [(name, *GUIDE[name]) for name in METRICS]
    assert rows[0] == ("metric", "what it is", "rewards", "is fooled by")
    page = render(evaluation(full=False))
    for guide in GUIDE.values():
        assert guide.rewards.replace("'", "&#39;") in page


def test_the_verdict_agrees_with_the_result() -> None:
    made = evaluation(pairs=60)
    found = duel(made, "student fp16", "mean")
    comparisons = next(entry.against_first for entry in made.entries if entry.name == "mean")
    assert found.level == [name for name, one in comparisons.items() if one.p_holm >= 0.05]
    # `difference` is mean less student: the student is better where it is negative, but for Nabf.
    told = {name: one.difference for name, one in comparisons.items() if one.p_holm < 0.05}
    assert found.better == [name for name, difference in told.items() if (difference < 0) != (name == "Nabf")]
    assert len(found.better) + len(found.worse) + len(found.level) == len(METRICS)
    assert found.better
    best = min(made.entries, key=lambda entry: entry.rank)
    assert verdict(made).headline == f"{best.name} is first of 5 by mean rank."


@pytest.mark.parametrize("block", [1, 5])
def test_the_verdict_agrees_with_the_result_of_a_clip(block: int) -> None:
    made = evaluation(pairs=60, block=block)
    comparisons = next(entry.against_first for entry in made.entries if entry.name == "mean")
    expected = [name for name, one in comparisons.items() if one.p_holm >= 0.05]
    assert duel(made, "student fp16", "mean").level == expected


def test_a_clip_has_frames_and_blocks() -> None:
    made = evaluation(pairs=40, block=10)
    text = words(render(made))
    assert "4 blocks of frames" in verdict(made).cautions[0]
    assert "Frames, worst first" in text
    assert "Mean over frames" in text
    assert "blocks of 10 frames in a row" in text
    assert "pairs" not in text


def same_figures(made: Evaluation, pairs: int) -> Evaluation:
    """Two entries that no pair tells apart."""
    alike = [
        pair.model_copy(update={"values": dict.fromkeys(pair.values, pair.values[made.entries[0].name])})
        for pair in made.per_pair[:pairs]
    ]
    return made.model_copy(update={"per_pair": alike, "pairs": pairs})


def test_noise_is_called_noise() -> None:
    made = same_figures(evaluation(("a", "b"), full=False), 4)
    found = verdict(made)
    assert found.lines[1] == "The two are told apart in no metric: which of them comes first may be chance."
    assert found.cautions[0].startswith("With 4 pairs no difference can be told from chance")
    more = evaluation(("a", "b"), full=False)
    assert "12 pairs are few" in verdict(same_figures(more, 12)).cautions[0]
    assert not [line for line in verdict(more).cautions if "few" in line]


def test_collisions_stand_beside_false_brakes() -> None:
    made = evaluation()
    assert made.braking
    condition = made.braking.conditions[0]
    entry = next(iter(condition.entries.values()))

    def sentence(best: tuple[float, float], visible: tuple[float, float]) -> str:
        shares = [parts.Interval(mean=sum(ends) / 2, low=ends[0], high=ends[1]) for ends in (best, visible)]
        entries = {
            name: entry.model_copy(update={"collisions": share})
            for name, share in zip(("a", "visible"), shares, strict=True)
        }
        braking = condition.model_copy(update={"entries": entries})
        update = {"braking": made.braking and made.braking.model_copy(update={"conditions": [braking]})}
        return verdict(made.model_copy(update=update)).findings[-1][1]

    clear = sentence((0.0, 0.2), (0.4, 0.8))
    assert clear.startswith(
        "fewest collisions in 40 runs of our simulation: a 10 % (0 % to 20 %), braking for nobody in 5 %"
    )
    assert "visible 60 % (40 % to 80 %)" in clear
    assert "chance" not in clear
    assert sentence((0.0, 0.5), (0.4, 0.8)).endswith("The intervals overlap: that may be chance.")
    assert "visible 30 %" in sentence((0.4, 0.8), (0.1, 0.5))


def test_few_images_of_a_detector_are_called_few() -> None:
    made = evaluation()
    assert made.detection
    few = made.model_copy(update={"detection": made.detection.model_copy(update={"images": 4})})
    caution = "A detector was judged on 4 images: too few to conclude from."
    assert caution in verdict(few).cautions
    assert not [line for line in verdict(made).cautions if "detector" in line]


def test_a_baseline_that_wins_is_named_as_one() -> None:
    made = evaluation(("a", "b", "max", "mean"), full=False)
    ranks = {"a": 3.5, "b": 3.25, "max": 1.0, "mean": 2.0}
    entries = [entry.model_copy(update={"rank": ranks[entry.name]}) for entry in made.entries]
    found = verdict(made.model_copy(update={"entries": entries}))
    assert found.headline == "max is first of 4 by mean rank."
    assert found.lines[-1].startswith("The first that is no baseline is b, place 3 with 3.25")
    assert "max is a plain rule without a network" in found.cautions[0]
    tied = [entry.model_copy(update={"rank": 1.5}) for entry in made.entries]
    assert "share the first place" in verdict(made.model_copy(update={"entries": tied})).headline


def test_of_many_pairs_the_worst_and_the_best_are_shown() -> None:
    made = evaluation(("a", "b"), 200, full=False)
    places = shown_pairs(made)
    figures = [pair.values["a"]["Qabf"] for pair in made.per_pair]
    assert [figures[place] for place in places] == [*sorted(figures)[:WORST], *sorted(figures)[-BEST:]]
    assert len(shown_pairs(evaluation(("a", "b"), WORST + BEST, full=False))) == WORST + BEST
    falling = evaluation(("a", "b"), 200, metrics=("Nabf",), full=False)
    values = [pair.values["a"]["Nabf"] for pair in falling.per_pair]
    assert values[shown_pairs(falling)[0]] == max(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fixed(-0.00001, 3), "0.000"),
        (fixed(-0.5, 2), f"{MINUS}0.50"),
        (fixed(None), NONE),
        (signed(0.25, 2), "+0.25"),
        (signed(-0.25, 2), f"{MINUS}0.25"),
        (signed(0.0001, 2), "0.00"),
        (str(decimals([12.3, 0.1])), "2"),
        (str(decimals([0.0])), "3"),
        (str(decimals([123456.0, float("nan")])), "0"),
    ],
)
def test_numbers_in_words(text: str, expected: str) -> None:
    assert text == expected


@pytest.fixture(scope="module")
def real(edgefusion: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that the command writes, of noise with two baselines' images."""
    folder = tmp_path_factory.mktemp("page")
    drive = write_folder(folder / "drive", [f"{index:05}{'DN'[index % 2]}" for index in range(4)], bits=16)
    words = ["--pairs", drive, "--precision", "fp32", "--degrade", "fog=0,0.5", "--metrics", "SSIM,Nabf,EN"]
    done = edgefusion("evaluate", *words, "--html", folder / "page.html")
    assert done.exit_code == 0, done.output
    return folder / "page.html"


def test_the_command_writes_the_page_with_thumbnails(real: Path) -> None:
    data = data_of(real.read_text())
    assert data["metrics"] == ["SSIM", "Nabf", "EN"]
    assert data["metric"] == "SSIM"
    assert len(data["thumbnails"]) == 4
    for found in data["thumbnails"].values():
        pictures = [found["visible"], found["thermal"], *found["fused"]]
        assert len(pictures) == 2 + len(data["entries"])
        assert all(picture.startswith("data:image/webp;base64,") for picture in pictures)
        # The baselines `visible` and `thermal` are the pictures themselves.
        assert found["fused"][data["entries"].index("thermal")] == found["thermal"]


def test_a_missing_folder_is_said_before_anything_is_computed(
    edgefusion: Callable[..., Result], tmp_path: Path
) -> None:
    done = edgefusion("evaluate", "--pairs", tmp_path, "--html", tmp_path / "no" / "page.html")
    assert done.exit_code == 3
    assert "no such folder" in done.output


def test_the_picture_in_the_docs_is_small() -> None:
    path = DOCS / "images" / "evaluate.png"
    assert path.stat().st_size < 300_000
    with Image.open(path) as image:
        assert image.width >= 1000
