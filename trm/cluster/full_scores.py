"""A checkpoint's scores on whole splits, by a worker with a trial's resources."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import ray

from trm.cluster.hearing import Mouth
from trm.cluster.shared_data import DataFeed, SweepFeed
from trm.cluster.worker_weights import opened
from trm.config.figures import Figure
from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.data.format.manifest import SplitName
from trm.data.format.shards import read_identifiers
from trm.errors import DatasetError
from trm.search.journal.events import AtTestTime
from trm.search.test_time import EXACT
from trm.sweeps.winner import FullScores
from trm.tasks.metrics import figure_named, unusual

if TYPE_CHECKING:
    from trm.evaluation.evaluate import Evaluation


def score_fully(
    checkpoint: str,
    feed: SweepFeed,
    mouth: Mouth,
    *,
    cpus: float,
    gpus: float,
    threads: int,
    objects: str | None = None,
    setting: dict[str, Any] | None = None,
    metric: str = EXACT,
) -> FullScores:
    """Score the checkpoint's evaluated weights on all of validation and test, in a worker with these resources.

    `checkpoint`: its folder, or its name among the sweep's `objects`. `mouth` tells batches done of each split. `setting`: values
    of `evaluation` with which both are scored again, chosen by `metric`.
    """
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_score)
    scores: FullScores = ray.get(task.remote(checkpoint, feed, threads, mouth, objects, setting, metric))
    return scores


def _score(
    checkpoint: str,
    feeds: SweepFeed,
    threads: int,
    mouth: Mouth,
    objects: str | None = None,
    setting: dict[str, Any] | None = None,
    metric: str = EXACT,
) -> FullScores:
    from trm.evaluation.answers import steps_of
    from trm.evaluation.evaluate import Evaluation, evaluate
    from trm.evaluation.kept_answers import AnswerKeeper
    from trm.tasks.choice import task_named
    from trm.training.scoring import evaluation_plan

    trained, feed, device = opened(checkpoint, feeds, threads, objects)
    figure = figure_named(EXACT if setting is None else metric)  # not every metric is one of a puzzle; those of settings are

    def score(name: SplitName, config: RunConfig, measure: Figure, keeper: AnswerKeeper | None = None) -> Evaluation:
        plan = evaluation_plan(config, feed.split(name), feed.manifest, is_whole=True)
        return evaluate(
            trained.model,
            trained.table,
            plan,
            manifest=feed.manifest,
            scorer=task_named(feed.manifest.task).scorer(feed.manifest, plan.split),
            forms=task_named(feed.manifest.task).forms(feed.manifest),
            config=config,
            device=device,
            progress=partial(mouth.report, f"batches of {name} scored"),
            record=keeper,
            records_steps=keeper is not None,
            measure=measure,
        )

    splits: tuple[SplitName, ...] = ("validation", "test")
    keeper = AnswerKeeper(feed.split("validation"), steps_of(trained.config))
    plain = {name: score(name, trained.config, figure, keeper if name == "validation" else None) for name in splits}
    puzzles = keeper.values(feed.manifest, _names(feed), _demonstrated(feed))
    scores = {name: dict(one.metrics) for name, one in plain.items()}
    if setting is None:
        return FullScores(scores["validation"], scores["test"], puzzles=puzzles)
    at_end = figure.of_any_steps
    asked = [one.text for one in (at_end, *trained.config.evaluation.figures) if one.steps is None]
    own = trained.config.evaluation.model_copy(update=setting | {"metrics": tuple(unusual(asked))})
    again = {name: score(name, trained.config.model_copy(update={"evaluation": own}), at_end) for name in splits}
    gain = {name: _gain(again[name], plain[name]) for name in splits}
    metrics = {name: dict(again[name].metrics) for name in splits}
    look = AtTestTime(evaluation=setting, validation=metrics["validation"], test=metrics["test"], gain=gain, metric=metric)
    return FullScores(scores["validation"], scores["test"], look, puzzles)


def _names(feed: DataFeed) -> Sequence[str] | None:
    """What the puzzles are called; None where nobody named them, or this node does not see who did."""
    try:
        table = read_identifiers(feed.folder, feed.manifest)
    except DatasetError:
        return None
    return None if table is None else table.names


def _demonstrated(feed: DataFeed) -> Split | None:
    """The training split, where it shows what is asked and is at hand."""
    from trm.tasks.choice import task_named

    if not task_named(feed.manifest.task).has_votes:
        return None
    try:
        return feed.split("train")
    except KeyError:  # the search is over: nothing is trained any more
        return None


def _gain(one: "Evaluation", plain: "Evaluation") -> list[float]:
    """Mean difference of what was measured over puzzles and its 95 % interval."""
    from trm.stats.paired import paired

    assert one.measured is not None
    assert plain.measured is not None
    found = paired(one.measured.puzzles, plain.measured.puzzles, (one.measured.weights, plain.measured.weights))
    return [found.difference, *found.interval_95]
