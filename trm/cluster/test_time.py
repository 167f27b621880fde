"""A checkpoint's settings at test time, scored on validation by a worker with a trial's resources: one pass a noise and start."""

from functools import partial
from typing import Any

import ray

from trm.cluster.hearing import Mouth
from trm.cluster.shared_data import SweepFeed
from trm.cluster.worker_weights import opened
from trm.search.journal.events import TestTimePoint
from trm.search.test_time import PassOrder
from trm.sweeps.winner import PassResult


def pass_at_test_time(
    checkpoint: str,
    order: PassOrder,
    feed: SweepFeed,
    mouth: Mouth,
    *,
    cpus: float,
    gpus: float,
    threads: int,
    objects: str | None = None,
) -> PassResult:
    """Make one pass over all of validation with the checkpoint's evaluated weights, in a worker with these resources.

    `checkpoint`: its folder, or its name among the sweep's `objects`. `mouth` tells batches done.
    """
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_pass)
    found: PassResult = ray.get(task.remote(checkpoint, order, feed, threads, mouth, objects))
    return found


def _pass(
    checkpoint: str, order: PassOrder, feeds: SweepFeed, threads: int, mouth: Mouth, objects: str | None = None
) -> PassResult:
    import time

    from trm.evaluation.evaluate import Evaluation, evaluate
    from trm.evaluation.test_time import Setting, on_front, plain_settings, rolled_settings
    from trm.models.cost import run_cost
    from trm.tasks.choice import task_named
    from trm.training.scoring import evaluation_plan

    started = time.monotonic()
    trained, feed, device = opened(checkpoint, feeds, threads, objects)

    def score(told: str, *, has_breadth: bool = False, **evaluation: Any) -> Evaluation:
        own = {"max_examples": None, "metrics": (), "reports_halted": False} | evaluation
        config = trained.config.model_copy(update={"evaluation": trained.config.evaluation.model_copy(update=own)})
        plan = evaluation_plan(config, feed.split("validation"), feed.manifest, is_whole=False)
        return evaluate(
            trained.model,
            trained.table,
            plan,
            manifest=feed.manifest,
            scorer=task_named(feed.manifest.task).scorer(feed.manifest, plan.split),
            config=config,
            device=device,
            progress=partial(mouth.report, f"batches {told}"),
            has_curve=not has_breadth,
            has_breadth=has_breadth,
        )

    flops, steps = run_cost(trained.config, trained.shape).forward_flops_row, trained.config.answer_steps
    curve = plain_settings(score("of the plain answer", steps=max(order.steps, steps) if order.is_plain else steps), flops)
    settings, plain = curve, curve[steps - 1]
    if not order.is_plain:
        drawn = {"steps": order.steps, "rollouts": order.rollouts, "noise": order.noise, "starts": order.starts}
        settings = rolled_settings(score(f"of {order.words}", has_breadth=True, **drawn), order.noise, order.starts, flops)
    members = on_front([(one.accuracy, one.inference_flops) for one in settings])

    def point(one: Setting, *, is_on_front: bool) -> TestTimePoint:
        gain = one.against(plain) if is_on_front else None
        ends = {} if gain is None else {"gain": gain.difference, "gain_low": gain.interval_95[0], "gain_high": gain.interval_95[1]}
        return TestTimePoint.model_validate({**one.report(), **ends})

    points = [point(one, is_on_front=number in members) for number, one in enumerate(settings)]
    return PassResult(point(plain, is_on_front=False), points, time.monotonic() - started)
