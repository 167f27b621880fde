"""The end of a sweep: the winner is scored on all of validation and, once, on test, and exported as `best/`.

The winner is the confirmed trial with the best mean over fresh seeds; what is exported is the best of its runs on those, so the
validation score of just that run is a selected one: what another seed will give is told by the mean and its interval.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray

from trm.cluster.driver import Placement
from trm.cluster.hearing import Mouth, heard
from trm.cluster.shared_data import DataFeed
from trm.console.long_work import Report, silent
from trm.console.redaction import stored
from trm.files.atomic import replacing_folder, write_text_atomic
from trm.search.findings.confirmed import Winner, confirmation_notes, confirmed_standings, confirmed_values, winner
from trm.search.journal.events import Reported
from trm.search.log import SweepLog
from trm.search.search import Search
from trm.sweeps.puzzle_comparisons import puzzle_comparisons
from trm.sweeps.steady_clock import steady_now


@dataclass(frozen=True)
class FullScores:
    """A trial's evaluation on whole splits."""

    validation: dict[str, float]
    test: dict[str, float]


def report_winner(log: SweepLog, folder: Path, placement: Placement, feed: DataFeed, dataset: str, report: Report = silent) -> None:
    """Score the winner on all of validation and, once, on test, journal that, and export it as `best/`.

    `report` is told batches done of each split.
    """
    search = log.search
    if (found := winner(search)) is None:
        return
    run = found.run
    checkpoint = folder / str(run.checkpoint)
    if run.number not in search.reports:
        demand = placement.demand
        with heard(lambda line: None, report) as mouth:
            scores = score_winner(checkpoint, feed, mouth, cpus=demand.cpus, gpus=demand.gpus, threads=placement.threads)
        log.report(Reported(trial=run.number, rank=1, validation=scores.validation, test=scores.test, at=steady_now()))
    reported = search.reports[run.number]
    log.check()
    export_best(
        folder,
        checkpoint,
        {
            "trial": found.trial.number,
            "run": run.number,
            "seed": run.asked.seed,
            "params": run.shown_params,
            "lineage": [{"rung": one.rung, "source": one.source, "params": one.params} for one in run.adoptions],
            "steps": run.steps,
            "train_flops": run.result.train_flops if run.result else 0.0,
            "params_count": run.asked.params_count,
            "dataset": {"folder": dataset, "content_hash": feed.manifest.content_hash},
            "validation": reported.validation,
            "test": reported.test,
            **confirmation_report(search, found, folder),
        },
    )


def confirmation_report(search: Search, found: Winner, folder: Path) -> dict[str, Any]:
    """What is known of the winner against the others: by its fresh seeds, and puzzle by puzzle; JSON."""
    notes = confirmation_notes(search)
    if found.confirmed is None:
        return notes
    weights = f"of its {len(found.confirmed.scores)} runs on fresh seeds, trial {found.run.number} has the best validation score"
    return {
        **notes,
        "weights": f"{weights}: a selected one; the mean over seeds says what another seed will give",
        "search_objective": found.trial.result.objective if found.trial.result is not None else None,
        "confirmed": [{"trial": row.trial, **confirmed_values(search, row)} for row in confirmed_standings(search).rows],
        "comparisons": [asdict(one) | {"sentence": one.sentence} for one in puzzle_comparisons(search, folder)],
    }


def score_winner(checkpoint: Path, feed: DataFeed, mouth: Mouth, *, cpus: float, gpus: float, threads: int) -> FullScores:
    """Score the checkpoint's evaluated weights on all of validation and test, in a worker with these resources."""
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_score)
    scores: FullScores = ray.get(task.remote(str(checkpoint), feed, threads, mouth))
    return scores


def _score(checkpoint: str, feed: DataFeed, threads: int, mouth: Mouth) -> FullScores:
    import torch

    from trm.evaluation.evaluate import evaluate
    from trm.tasks.score import scorer_for
    from trm.training.process import training_device
    from trm.training.scoring import evaluation_plan
    from trm.training.weights import load_for_evaluation

    torch.set_num_threads(threads)
    device = training_device()
    trained = load_for_evaluation(checkpoint, device)
    scores: dict[str, dict[str, float]] = {}
    for name in ("validation", "test"):
        plan = evaluation_plan(trained.config, feed.split(name), feed.manifest, is_whole=True)
        evaluation = evaluate(
            trained.model,
            trained.table,
            plan,
            manifest=feed.manifest,
            scorer=scorer_for(feed.manifest, plan.split),
            config=trained.config,
            device=device,
            progress=partial(mouth.report, f"batches of {name} scored"),
        )
        scores[name] = dict(evaluation.metrics)
    return FullScores(**scores)


def export_best(folder: Path, checkpoint: Path, report: dict[str, Any]) -> None:
    """Make `best/`: configuration, evaluated weights, report; the old one stays until the new one is whole."""
    import json

    from trm.training.weights import export_weights

    with replacing_folder(folder / "best") as new:
        export_weights(checkpoint, new)
        write_text_atomic(new / "report.json", json.dumps(stored(report), indent=1, sort_keys=True) + "\n")
