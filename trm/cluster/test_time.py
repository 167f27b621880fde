"""Checkpoints' settings at test time, scored on validation by workers with a trial's resources: one pass a noise and start."""

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import ray

from trm.cluster.hearing import Mouth
from trm.cluster.shared_data import SweepFeed
from trm.cluster.worker_weights import opened
from trm.errors import CheckpointError
from trm.search.journal.events import TestTimePoint
from trm.search.order import Order
from trm.search.test_time import EXACT, PassOrder
from trm.sweeps.winner import PassResult
from trm.tasks.metrics import figure_named

if TYPE_CHECKING:
    from trm.evaluation.test_time import Setting


def passes_at_test_time(
    orders: Sequence[PassOrder],
    place: Callable[[PassOrder], str],
    feed: SweepFeed,
    mouth: Mouth,
    *,
    slots: int,
    cpus: float,
    gpus: float,
    threads: int,
    objects: str | None = None,
) -> Generator[tuple[PassOrder, PassResult | CheckpointError]]:
    """Make passes over all of validation with checkpoints' evaluated weights, `slots` side by side, each in a worker of its own.

    They come as they are made; those that run are ended where nobody wants more. `place`: the folder of an order's checkpoint, or
    its name among the sweep's `objects`. `mouth` tells batches done.
    """
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_pass)
    left, running = deque(orders), dict[ray.ObjectRef, PassOrder]()
    try:
        while left or running:
            while left and len(running) < slots:
                order = left.popleft()
                running[task.remote(place(order), order, feed, threads, mouth, objects)] = order
            (ready,), _ = ray.wait(list(running), num_returns=1)
            order = running.pop(ready)
            try:
                found: PassResult = ray.get(ready)
            except CheckpointError as error:
                yield order, error
            else:
                yield order, found
    finally:
        for other in running:
            ray.cancel(other, force=True)


def _pass(
    checkpoint: str, order: PassOrder, feeds: SweepFeed, threads: int, mouth: Mouth, objects: str | None = None
) -> PassResult:
    import time

    from trm.evaluation.evaluate import Evaluation, evaluate
    from trm.evaluation.test_time import on_front, plain_settings, rolled_settings
    from trm.models.cost import run_cost
    from trm.tasks.choice import task_named
    from trm.training.scoring import evaluation_plan

    started = time.monotonic()
    trained, feed, device = opened(checkpoint, feeds, threads, objects)
    figure, task = figure_named(order.metric), task_named(feed.manifest.task)

    def score(told: str, *, has_breadth: bool = False, **evaluation: Any) -> Evaluation:
        own = {"max_examples": None, "metrics": (), "reports_halted": False} | evaluation
        config = trained.config.model_copy(update={"evaluation": trained.config.evaluation.model_copy(update=own)})
        plan = evaluation_plan(config, feed.split("validation"), feed.manifest, is_whole=False)
        return evaluate(
            trained.model,
            trained.table,
            plan,
            manifest=feed.manifest,
            scorer=task.scorer(feed.manifest, plan.split),
            forms=task.forms(feed.manifest),
            config=config,
            device=device,
            progress=partial(mouth.report, "batches", part=f"{order.words} {told}"),
            has_curve=not has_breadth,
            has_breadth=has_breadth,
            measure=figure.of_any_steps,
        )

    flops, steps = run_cost(trained.config, trained.shape).forward_flops_row, figure.steps or trained.config.answer_steps
    has_curve_alone = order.is_plain and order.forms == 1
    curve = plain_settings(score("plain", steps=max(order.steps, steps) if has_curve_alone else steps), flops)
    settings, plain = curve, curve[steps - 1]
    if not has_curve_alone:
        drawn: dict[str, Any] = {"steps": order.steps, "forms": order.forms}
        if not order.is_plain:
            drawn |= {"rollouts": order.rollouts, "noise": order.noise, "starts": order.starts}
        settings = rolled_settings(score("", has_breadth=True, **drawn), order.noise, order.starts, flops)
    by = Order(order.mode)
    settings = [one for one in settings if math.isfinite(one.value)]
    members = on_front([(by.cost(one.value), one.inference_flops) for one in settings])
    points = [_point(one, order, plain if number in members else None) for number, one in enumerate(settings)]
    return PassResult(_point(plain, order), points, time.monotonic() - started)


def _point(one: "Setting", order: PassOrder, plain: "Setting | None" = None) -> TestTimePoint:
    """A setting as the journal has it, with what it gains over the plain answer, where that is given."""
    gain = None if plain is None else one.against(plain)
    ends = {} if gain is None else {"gain": gain.difference, "gain_low": gain.interval_95[0], "gain_high": gain.interval_95[1]}
    value = {} if order.metric == EXACT else {"value": one.value}
    return TestTimePoint.model_validate({**one.report(), **value, **ends})
