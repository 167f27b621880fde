"""A checkpoint's scores on whole splits, by a worker with a trial's resources."""

from functools import partial
from pathlib import Path

import ray

from trm.cluster.hearing import Mouth
from trm.cluster.shared_data import SweepFeed
from trm.sweeps.winner import FullScores


def score_fully(checkpoint: Path, feed: SweepFeed, mouth: Mouth, *, cpus: float, gpus: float, threads: int) -> FullScores:
    """Score the checkpoint's evaluated weights on all of validation and test, in a worker with these resources.

    `mouth` tells batches done of each split.
    """
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_score)
    scores: FullScores = ray.get(task.remote(str(checkpoint), feed, threads, mouth))
    return scores


def _score(checkpoint: str, feeds: SweepFeed, threads: int, mouth: Mouth) -> FullScores:
    import torch

    from trm.evaluation.evaluate import evaluate
    from trm.tasks.choice import task_named
    from trm.training.process import training_device
    from trm.training.scoring import evaluation_plan
    from trm.training.weights import load_for_evaluation

    torch.set_num_threads(threads)
    device = training_device()
    trained = load_for_evaluation(checkpoint, device)
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
            config=trained.config,
            device=device,
            progress=partial(mouth.report, f"batches of {name} scored"),
        )
        scores[name] = dict(evaluation.metrics)
    return FullScores(**scores)
