"""What others would do on a recorded table: a grid, and Ray Tune's and Optuna's own classes, driven as they drive themselves.

A trial of theirs is as long as ours, `budget.per_trial` training FLOPs, reports after every epoch, and is stopped by epochs, as
their users do. What a stopped trial ran is paid. They choose from the same lists of values; they may choose a configuration
again, which then trains with another recorded seed.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import optuna
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.trial_scheduler import TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search.replay import History, Moment
from benchmarks.search.tables import Curve, Runs, Table
from trm.search.knobs.knobs import ChoiceKnob

METRIC = "exact_accuracy"
Report = tuple[int, float, float]
"""Epoch, accuracy, training FLOPs since the trial's start."""


@dataclass(frozen=True)
class Limits:
    """When a peer's sweep is over."""

    trials: int
    train_flops: float = math.inf
    least: tuple[int, float] = (1000, math.inf)
    """Trials and FLOPs after which it is over as soon as its incumbent is within the noise of the table's best."""


@dataclass
class TuneTrial:
    """What a scheduler of Tune looks at of a trial."""

    trial_id: str


def reports(table: Table, config: int, curve: Curve) -> Iterator[Report]:
    """What a trial reports while nobody stops it: at the recorded epochs, and at its end."""
    for epoch in range(1, epochs(table, config)):
        if epoch * table.epoch_steps in table.recorded_steps(config):
            point = curve.at(epoch * table.epoch_steps, table.examples)
            yield epoch, point.accuracy, point.train_flops
    yield epochs(table, config), float(curve.accuracy[-1]), float(curve.train_flops[-1])


def epochs(table: Table, config: int) -> int:
    """Epochs of a whole trial, the last perhaps cut short."""
    return math.ceil(table.max_steps(config) / table.epoch_steps)


def most_epochs(table: Table) -> int:
    """Epochs of the longest trial: `max_t` and `max_resource`."""
    return max(epochs(table, config) for config in range(len(table.params)))


def values(table: Table) -> dict[str, list]:
    """What each knob can be."""
    assert all(isinstance(knob, ChoiceKnob) and not knob.when for knob in table.space.search.values()), "a grid without conditions"
    return {path: list(knob.values_in_order) for path, knob in table.space.search.items()}


def ray_tune(table: Table, seed: int, limits: Limits) -> History:
    """Stock Ray Tune with one worker: its ASHA in epochs with its defaults, its OptunaSearch with its defaults."""
    searcher = OptunaSearch(metric=METRIC, mode="max", seed=seed)
    searcher.set_search_properties(METRIC, "max", {path: tune.choice(one) for path, one in values(table).items()})
    scheduler = ASHAScheduler(metric=METRIC, mode="max", max_t=most_epochs(table))

    def trial(number: int, book: "_Book") -> None:
        one = TuneTrial(f"{seed}_{number:05d}")
        config, curve = book.begin(searcher.suggest(one.trial_id))
        scheduler.on_trial_add(None, one)
        for report in reports(table, config, curve):
            epoch, accuracy, flops = report
            last = {"training_iteration": epoch, METRIC: accuracy}
            decision = scheduler.on_trial_result(None, one, last)
            if decision == TrialScheduler.STOP:
                break
            searcher.on_trial_result(one.trial_id, last)
        scheduler.on_trial_complete(None, one, last)
        searcher.on_trial_complete(one.trial_id, result=last)
        book.end(config, epoch, accuracy, flops)

    return _sweep(table, seed, limits, trial)


def optuna_hyperband(table: Table, seed: int, limits: Limits) -> History:
    """Optuna alone with one worker: its TPE with its defaults, its Hyperband pruner in epochs."""
    study = optuna.create_study(
        study_name=f"sweep-{seed}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=most_epochs(table)),
    )
    space = {path: optuna.distributions.CategoricalDistribution(one) for path, one in values(table).items()}

    def trial(number: int, book: "_Book") -> None:
        one = study.ask(space)
        config, curve = book.begin(one.params)
        is_pruned = False
        for report in reports(table, config, curve):
            epoch, accuracy, flops = report
            one.report(accuracy, epoch)
            is_pruned = epoch < epochs(table, config) and one.should_prune()
            if is_pruned:
                break
        study.tell(one, None if is_pruned else accuracy, state=optuna.trial.TrialState.PRUNED if is_pruned else None)
        book.end(config, epoch, accuracy, flops, is_eligible=not is_pruned)  # `best_trial` is one that was not pruned

    return _sweep(table, seed, limits, trial)


def grid(table: Table, seed: int, limits: Limits) -> History:
    """Every configuration in the order of the table, at full length; then all of them again, with other recorded seeds."""

    def trial(number: int, book: "_Book") -> None:
        config, curve = book.begin(table.params[number % len(table.params)])
        *_, (epoch, accuracy, flops) = reports(table, config, curve)
        book.end(config, epoch, accuracy, flops)

    return _sweep(table, seed, limits, trial)


class _Book:
    """What a peer's sweep has paid and found."""

    def __init__(self, table: Table, seed: int) -> None:
        self.history = History(runs=Runs(table, seed))
        self.train_flops = 0.0
        self._table, self._trials = table, 0
        self._best: tuple[float, int | None] = (-1.0, None)
        self._curve: Curve | None = None

    def begin(self, params: dict) -> tuple[int, Curve]:
        config = self._table.config(params)
        assert self.history.runs is not None
        self._curve = self.history.runs.curve(self._trials, config)
        return config, self._curve

    def end(self, config: int, epoch: int, accuracy: float, train_flops: float, *, is_eligible: bool = True) -> None:
        """A trial ended; not `is_eligible`, it cannot be reported as best."""
        assert self._curve is not None
        self.history.ends.append((config, epoch, accuracy))
        self.train_flops += train_flops
        self.history.trained_seconds += float(self._curve.seconds[self._curve.train_flops <= train_flops * (1 + 1e-9)].max())
        self._trials += 1
        if is_eligible and accuracy > self._best[0]:
            self._best = accuracy, config
        self.history.moments.append(Moment(self._trials, self.train_flops, self._best[1], self._best[0]))


def _sweep(table: Table, seed: int, limits: Limits, trial) -> History:
    started, book, is_there = time.perf_counter(), _Book(table, seed), False
    for number in range(limits.trials):
        trial(number, book)
        is_there = is_there or book.history.moments[-1].incumbent in table.good
        is_enough = number + 1 >= limits.least[0] and book.train_flops >= limits.least[1]
        if book.train_flops >= limits.train_flops or (is_there and is_enough):
            break
    book.history.seconds = time.perf_counter() - started
    return book.history
