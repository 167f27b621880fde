"""`train.py --seeds N`: one configuration on several seeds, one run after the other, and what they come to together.

config.yaml      the configuration that all share
seeds.json       the seeds, written when the first begins
seed-0/ ...      a run each, as `train.py` writes it
summary.json     a row a seed; mean and 95 % interval over the seeds, written when a seed is done
"""

import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from trm.config.base import Frozen
from trm.config.files import dump_yaml, load_run_config, validated
from trm.config.run import RunConfig
from trm.config.tracking import Tracking
from trm.console.streams import say
from trm.errors import EXIT_DONE, EXIT_FAILED, ConfigError, InterruptedRun, TrialError
from trm.files.atomic import write_text_atomic
from trm.files.contained import refuse_links, remove
from trm.files.json_files import read_json
from trm.jobs.train import TrainOptions, run_training
from trm.search.journal.lease import FILE as LEASE
from trm.search.journal.lease import Lease
from trm.stats.intervals import MeanOfSeeds, mean_of_seeds
from trm.sweeps.commands import job_command
from trm.sweeps.places import DEFAULT_STORAGE, expanded, held_folder, is_taken, numbered_after, numbered_folder, writable_folder
from trm.tasks.metrics import bounds, is_count
from trm.tasks.places import names_data, refuse_remote
from trm.terminal.command_line import show
from trm.training.reporting import RunReport
from trm.training.run_folder import RunFolder
from trm.training.weights import CONFIG_FILE

SEEDS_FILE = "seeds.json"
SUMMARY_FILE = "summary.json"
MOST_SEEDS = 1000
SHOWN = ("exact_accuracy", "cell_accuracy", "loss")


class Seeds(Frozen):
    """What `seeds.json` holds."""

    seeds: list[int] = Field(min_length=1, max_length=MOST_SEEDS)
    """In the order in which they are trained."""
    tracking: Tracking = Tracking()
    """Whether and where MLflow is told, without the address of its store."""


@dataclass(frozen=True)
class SeedScore:
    """What a seed came to."""

    seed: int
    report: RunReport | None
    """The run's best evaluation; null: it came to none."""
    trouble: str | None = None
    """Why its run ended early."""


def is_series(folder: str | None) -> bool:
    """Whether a folder holds several seeds of one configuration."""
    return folder is not None and (Path(folder) / SEEDS_FILE).is_file()


def run_again(options: TrainOptions) -> TrainOptions:
    """The options of a try: where a run began in `out`, they resume it; several seeds go on with their own configuration."""
    options, out = replace(options, is_retry=True), expanded(str(options.out), "--out")
    if is_series(str(out)):
        return replace(options, resume=options.out, out=None, config=None, overrides=())
    return replace(options, resume=options.out, out=None) if (out / CONFIG_FILE).is_file() else options


def run_seeds(options: TrainOptions, count: int | None) -> int:
    """Train every seed that is not done, one after the other, and print what they come to; the exit code.

    A run that diverges, or that its device has no memory for, is a row without a score, and the others go on.
    """
    _check_options(options, count)
    config = None if options.resume is not None else load_run_config(str(options.config), options.overrides)
    with _claimed(options) as lease:
        folder = lease.folder
        refuse_links(folder, lambda parts: len(parts) == 1)
        if options.resume is not None and not options.overrides:
            refuse_remote(load_run_config(folder / CONFIG_FILE, is_own=False).data, folder / CONFIG_FILE)
        series = _begun(folder, config, count)
        seeds, tracking = series.seeds, series.tracking if config is None else config.tracking
        say(f"{len(seeds)} seeds of one configuration, {seeds[0]} to {seeds[-1]}, in {folder}")
        scores: list[SeedScore] = []
        for place, seed in enumerate(seeds):
            say(f"seed {seed}, {place + 1} of {len(seeds)}")
            try:
                scores.append(_trained(folder, seed, replace(options, tracking=tracking)))
            except (InterruptedRun, KeyboardInterrupt) as error:
                command = f"{job_command('train.py')} --resume {shlex.quote(str(folder))}"
                raise InterruptedRun(f"{place} of {len(seeds)} seeds are done; go on with `{command}`") from error
            _write_summary(folder, scores)
    show(_table(scores, folder))
    return EXIT_DONE if all(score.report is not None for score in scores) else EXIT_FAILED


def _check_options(options: TrainOptions, count: int | None) -> None:
    if count is not None and not 1 <= count <= MOST_SEEDS:
        raise ConfigError(f"--seeds must be from 1 to {MOST_SEEDS}, got {count}", remedy="give a number of seeds")
    if options.resume is None and options.config is None:
        raise ConfigError("seeds are those of a configuration", remedy="give one, or --resume the folder of several seeds")
    if options.resume is None:
        return
    if not is_series(options.resume):
        raise ConfigError(f"{options.resume} holds no {SEEDS_FILE}, so it is no folder of several seeds", remedy="drop --seeds")
    if options.config is not None or options.out is not None or not all(names_data([one]) for one in options.overrides):
        raise ConfigError(
            f"several seeds go on in their own folder, with the configuration that is there, {options.resume}/{CONFIG_FILE}",
            remedy="drop the configuration, --set and --out",
        )


def _claimed(options: TrainOptions) -> AbstractContextManager[Lease]:
    given = options.resume or options.out
    if given is not None:
        folder = writable_folder(given, "--resume" if options.resume is not None else "--out")
        if options.resume is None and is_taken(folder, (LEASE,)):
            raise ConfigError(f"{folder} is taken", remedy="go on with it by --resume, or give another --out")
        return held_folder(folder, _is_begun, say, waits=options.is_retry)
    storage = writable_folder(options.storage, "--storage", default=DEFAULT_STORAGE)
    return numbered_folder(numbered_after(storage, str(options.config), "seeds"), _is_begun)


def _is_begun(folder: Path) -> bool:
    return is_series(str(folder))


def _begun(folder: Path, config: RunConfig | None, count: int | None) -> Seeds:
    """The seeds of the folder, written there with their configuration when it begins, and when it gets more of them."""
    tracking = Tracking()
    if config is not None:
        places = {name: _absolute(getattr(config.data, name)) for name in ("recipe", "folder")}
        config = config.model_copy(update={"data": config.data.model_copy(update=places)})
        dump_yaml(folder / CONFIG_FILE, config.model_dump(mode="json"))
        seeds = [config.seed + index for index in range(count or 1)]
        tracking = Tracking(enabled=config.tracking.enabled, experiment=config.tracking.experiment)
    else:
        values = read_json(folder / SEEDS_FILE, dict, error=ConfigError, remedy="restore it from a copy")
        known = validated(Seeds, values, str(folder / SEEDS_FILE))
        seeds, tracking = list(known.seeds), known.tracking
        if count is not None and count < len(seeds):
            raise ConfigError(f"{folder} has {len(seeds)} seeds already, got --seeds {count}", remedy="give as many or more")
        seeds += [seeds[-1] + 1 + index for index in range((count or 0) - len(seeds))]
    series = Seeds(seeds=seeds, tracking=tracking)
    write_text_atomic(folder / SEEDS_FILE, series.model_dump_json(exclude_defaults=True) + "\n")
    return series


def _absolute(place: str | None) -> str | None:
    """A place that holds from any working folder."""
    return place if place is None or "://" in place else os.path.abspath(place)


def _trained(folder: Path, seed: int, options: TrainOptions) -> SeedScore:
    """What the seed's run comes to: trained to its end, unless it is there already."""
    place = folder / f"seed-{seed}"
    run = RunFolder(place)
    words = options.overrides if options.resume is not None else ()  # where the data lie; a beginning has them in its configuration
    if not _is_done(run):
        is_begun = bool(run.checkpoints())
        if not is_begun and place.exists():  # killed before its first checkpoint
            remove(place)
        own = replace(
            options,
            config=None if is_begun else str(folder / CONFIG_FILE),
            overrides=(*words, *(() if is_begun else (f"seed={seed}",))),
            out=None if is_begun else str(place),
            resume=str(place) if is_begun else None,
            storage=options.storage or str(folder.parent),
        )
        try:
            run_training(own)
        except TrialError as error:
            say(f"seed {seed} ended early: {error}")
            return SeedScore(seed, None, str(error))
    return SeedScore(seed, _best(run))


def _is_done(run: RunFolder) -> bool:
    rows = run.rows()
    return bool(rows) and rows[-1]["step"] >= rows[-1]["total_steps"]


def _best(run: RunFolder) -> RunReport:
    reports = [RunReport(**row) for row in run.rows()]
    return next(report for report in reversed(reports) if report.is_best)


def means(scores: Sequence[SeedScore]) -> dict[str, MeanOfSeeds]:
    """Metric -> its mean over the seeds that came to a score; without counts and the bounds of single runs."""
    rows = [score.report.scores for score in scores if score.report is not None]
    shared = [name for name in (rows[0] if rows else {}) if all(name in row for row in rows)]
    names = [name for name in shared if not is_count(name) and not name.endswith(("_low", "_high"))]
    return {name: mean_of_seeds([row[name] for row in rows], bounds(name)) for name in names}


def _write_summary(folder: Path, scores: Sequence[SeedScore]) -> None:
    """Rewrites summary.json, atomically; what is no finite number is left out."""
    runs = [
        {
            "seed": score.seed,
            "folder": f"seed-{score.seed}",
            "step": score.report.step if score.report is not None else None,
            "scored": score.report.label if score.report is not None else None,
            "scores": _finite(score.report.scores) if score.report is not None else None,
            "error": score.trouble,
        }
        for score in scores
    ]
    found = {name: mean._asdict() for name, mean in means(scores).items() if math.isfinite(mean.mean)}
    write_text_atomic(folder / SUMMARY_FILE, json.dumps({"seeds": runs, "means": found}, indent=1, allow_nan=False) + "\n")


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _table(scores: Sequence[SeedScore], folder: Path) -> str:
    """A line a seed, the means, and what to do next."""
    lines = []
    for score in scores:
        if score.report is None:
            lines.append(f"seed {score.seed:<6} ended early: {score.trouble}")
        elif score.report.scores:
            lines.append(
                f"seed {score.seed:<6} {_scores_text(score.report.scores)}, step {score.report.step}, {score.report.label}"
            )
        else:
            lines.append(f"seed {score.seed:<6} {score.report.label}")
    found = means(scores)
    for name in SHOWN:
        if name in found:
            mean = found[name]
            lines.append(f"{name:<14} {mean.text}, mean of {sum(score.report is not None for score in scores)} seeds")
    return "\n".join([*lines, f"summary        {folder / SUMMARY_FILE}"])


def _scores_text(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {scores[name]:.4f}" for name in SHOWN if name in scores)
