"""Judging a clip: fusion metrics of its frames, flicker, and a detector's finds and tracks."""

from __future__ import annotations

from collections.abc import Sequence

from edgefusion.core.devices import find_device
from edgefusion.core.errors import InputError, UsageError
from edgefusion.core.progress import progress
from edgefusion.core.rig import load_rig
from edgefusion.kernels.agc import AgcSpec
from edgefusion.recordings.mot import FrameTruth, read_mot
from edgefusion.recordings.options import chosen_paths
from runtime.capture.simulated import SimulatedRig
from runtime.evaluate import detection as judging
from runtime.evaluate.clips import SIMULATED_FRAMES, Clip, Driven, Footage, Views, look_through, recorded
from runtime.evaluate.detector import Detector, DetectorFile, match_classes, rig_identities, rig_truth
from runtime.evaluate.entries import Entry, check_names, in_order, open_students, sources_alone
from runtime.evaluate.frames import frame_subjects, measure_frames
from runtime.evaluate.fused_video import find_fused_video
from runtime.evaluate.measure import Measured, Plan
from runtime.evaluate.pairs import judged
from runtime.evaluate.result import Detection, Tracking
from runtime.evaluate.settings import EvaluateSettings, Judged, listed
from runtime.evaluate.stability import stability
from runtime.evaluate.sweep import Condition
from runtime.evaluate.tracks import tracking_result
from runtime.evaluate.truths import Truths

OF_A_SOURCE = ("fused", "metrics", "labels", "classes", "csv", "frames")
"""Options that say nothing about approaches."""

SOURCES = "--pairs DIR, --recording R (or --visible V --thermal T), or --simulated"


def find_footage(settings: EvaluateSettings) -> Footage | None:
    """The clip that the settings name, or None if they name still pairs, or only ask for what needs no source.

    Raises:
        UsageError: no source and nothing that does without, several, or options that do not go with it.
        EdgeFusionError: a recording or rig.toml that cannot be read.
    """
    paths = chosen_paths(settings.recording, settings.visible, settings.thermal, topics=settings.topics)
    given = [settings.pairs is not None, paths is not None, settings.simulated]
    if sum(given) > 1:
        raise UsageError("several sources", remedy=f"give one of {SOURCES}")
    if not any(given) and not settings.brake:
        raise UsageError("nothing to judge", remedy=f"give {SOURCES}; or --brake N with --detector model.onnx")
    stills = settings.pairs is not None or (paths is not None and paths[0].is_dir() and paths[1].is_dir())
    _check_options(settings, clip=not stills)
    if settings.simulated:
        return Driven(SimulatedRig(seed=settings.seed, fog=settings.fog))
    if paths is None or stills:
        return None
    rig = load_rig(settings.rig_path) if settings.rig_path else None
    return recorded(paths, intersect=settings.intersect, topics=settings.topics, rig=rig)


def _check_options(settings: EvaluateSettings, *, clip: bool) -> None:
    judging_only = [f"--{name}" for name in OF_A_SOURCE if getattr(settings, name) and not settings.has_source]
    unfit = {
        f"{', '.join(judging_only)} without pairs or a clip": bool(judging_only),
        "--frames is for clips": settings.frames is not None and not clip,
        "--fog is for the simulated rig": bool(settings.fog) and not settings.simulated,
        "--rig is for a recording of videos or MCAP": settings.rig_path is not None
        and (settings.simulated or not clip),
        "--misalign and --degrade are for pairs": clip and bool(settings.misalign or settings.degrade),
        "--labels is for pairs or a recording": settings.simulated and settings.labels is not None,
        "--classes names the classes of labels": settings.simulated and settings.classes is not None,
    }
    for what, wrong in unfit.items():
        if wrong:
            raise UsageError(what, remedy="leave it out")


def judge_clip(
    settings: EvaluateSettings, footage: Footage, metrics: tuple[str, ...], detector: Detector | None
) -> Judged:
    """Judge every entry on every frame, as far as that was not done before.

    Raises:
        EdgeFusionError: whatever is wrong with the settings, the clip, an entry or this machine.
    """
    bundles = settings.bundles or (None,)
    students, agc = open_students(
        bundles, settings.precisions, find_device(settings.device_name), ungated=settings.ungated
    )
    frames = SIMULATED_FRAMES if settings.simulated and settings.frames is None else settings.frames
    with progress("reading", frames, hidden=settings.quiet) as advance:
        clip = look_through(footage, agc, frames=frames, advance=advance)
    videos = [find_fused_video(given, clip, whole=frames is None) for given in settings.fused]
    compared = students if settings.bundles or not videos else []
    entries = in_order(compared, videos, agc, baselines=settings.baselines)
    return _judged_by(settings, clip, entries, metrics, detector, agc)


def _judged_by(
    settings: EvaluateSettings, clip: Clip, entries: list[Entry], metrics: tuple[str, ...], detector: Detector | None,
    agc: AgcSpec,
) -> Judged:  # fmt: skip
    alone = sources_alone(entries, agc)
    check_names([*entries, *alone])
    subjects = frame_subjects(clip, [*entries, *alone])
    judged(subjects, [], [*entries, *alone], metrics, intersect=False)
    truths = _truths(settings, clip, detector)
    plan = Plan(
        tuple(entries), (Condition(),), metrics, agc, settings.seed,
        detector=DetectorFile.of(detector) if detector else None,
        detector_only=tuple(alone),
        block=clip.second,
    )  # fmt: skip
    with progress("judging", len(subjects), hidden=settings.quiet) as advance:
        measured, steps = measure_frames(plan, clip, subjects, workers=settings.workers, advance=advance)
    detection, tracking = _looked(settings, plan, clip, measured, truths, detector) if detector else (None, None)
    return Judged(
        plan, measured, subjects, f"{clip.footage.name}, {clip.frames} frames at {clip.footage.fps:g} a second",
        detection=detection,
        stability=stability(plan, steps, fps=clip.footage.fps),
        tracking=tracking,
        load=Views(clip),
        scene="night" if settings.simulated else None,  # a camera's gain makes a lit road brighter than night is
    )  # fmt: skip


def _truths(settings: EvaluateSettings, clip: Clip, detector: Detector | None) -> list[FrameTruth] | None:
    """The true boxes of each frame, some of which the detector can know; None if nobody knows them."""
    if detector is None:
        return None
    if isinstance(clip.footage, Driven):
        truths = _rig_truths(settings, clip, clip.footage.rig)
    elif settings.labels is None:
        _tracked(settings, detector)
        return None
    elif settings.labels.suffix.lower() != ".txt":
        raise UsageError(f"--labels {settings.labels}", remedy="of a clip, give a MOTChallenge text file (.txt)")
    else:
        classes = listed("--classes", settings.classes) or ()
        truths = read_mot(settings.labels, clip.frames, clip.size_px, classes=classes)
    judging.judged_classes(detector.classes, [each.truth for each in truths])
    return truths


def _tracked(settings: EvaluateSettings, detector: Detector) -> dict[str, str]:
    """What to track where no labels say it: the classes that are named, or all of the detector's (nothing)."""
    names = None if settings.labels else listed("--classes", settings.classes)
    return match_classes(detector.classes, names) if names else {}


def _rig_truths(settings: EvaluateSettings, clip: Clip, rig: SimulatedRig) -> list[FrameTruth]:
    truths = []
    with progress("true boxes", clip.frames, hidden=settings.quiet) as advance:
        for number in range(clip.frames):
            boxes = rig.boxes(number)
            truths.append(FrameTruth(rig_truth(boxes), rig_identities(boxes)))
            advance(1)
    if not any((~each.truth.crowd).any() for each in truths):
        raise InputError(f"no true box in {clip.frames} frames", where=clip.footage.name, remedy="take more --frames")
    return truths


def _looked(
    settings: EvaluateSettings, plan: Plan, clip: Clip, measured: Measured, truths: Sequence[FrameTruth] | None,
    detector: Detector,
) -> tuple[Detection | None, Tracking]:  # fmt: skip
    """What the detector found, and the tracks of that."""
    detection, matched, source = None, _tracked(settings, detector), None
    if truths is not None:
        source = str(settings.labels or clip.footage.name)
        boxes = {clip.frame_name(number): each.truth for number, each in enumerate(truths)}
        matched = judging.judged_classes(detector.classes, list(boxes.values()))
        with progress("matching boxes", judging.steps(plan), hidden=settings.quiet) as advance:
            detection, _ = judging.judge(plan, measured, Truths(boxes, source), detector, advance)
    films = {entry.name: judging.found_in(measured, detector.classes, number)
             for number, entry in enumerate(plan.shown)}  # fmt: skip
    return detection, tracking_result(films, truths, matched=matched, source=source, fps=clip.footage.fps)
