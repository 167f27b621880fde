"""A checkpoint's scores on whole splits, by a worker with a trial's resources."""

from functools import partial

import ray

from trm.cluster.hearing import Mouth
from trm.cluster.shared_data import SweepFeed
from trm.sweeps.winner import FullScores
from trm.training.leg_files import brought


def score_fully(
    checkpoint: str, feed: SweepFeed, mouth: Mouth, *, cpus: float, gpus: float, threads: int, objects: str | None = None
) -> FullScores:
    """Score the checkpoint's evaluated weights on all of validation and test, in a worker with these resources.

    `checkpoint`: its folder, or its name among the sweep's `objects`. `mouth` tells batches done of each split.
    """
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_score)
    scores: FullScores = ray.get(task.remote(checkpoint, feed, threads, mouth, objects))
    return scores


def _score(checkpoint: str, feeds: SweepFeed, threads: int, mouth: Mouth, objects: str | None = None) -> FullScores:
    import torch

    from trm.evaluation.evaluate import evaluate
    from trm.tasks.choice import task_named
    from trm.training.process import training_device
    from trm.training.scoring import evaluation_plan
    from trm.training.weights import load_for_evaluation

    torch.set_num_threads(threads)
    device = training_device()
    here = checkpoint if objects is None else str(brought(objects, checkpoint))
    trained = load_for_evaluation(here, device)
    feed = feeds.of_content(trained.data_hash)
    scores: dict[str, dict[str, float]] = {}
    for name in ("validation", "test"):
        plan = evaluation_plan(trained.config, feed.split(name), feed.manifest, is_whole=True)
        evaluation = evaluate(
            trained.model,
            trained.table,
            plan,
            manifest=feed.manifest,
            scorer=task_named(feed.manifest.task).scorer(feed.manifest, plan.split),
            forms=task_named(feed.manifest.task).forms(feed.manifest),
            config=trained.config,
            device=device,
            progress=partial(mouth.report, f"batches of {name} scored"),
        )
        scores[name] = dict(evaluation.metrics)
    return FullScores(**scores)
