"""Syne Tune's asynchronous schedulers, asked and told as its simulator does, one worker: ASHA, MOBSTER and HyperTune.

The resource is epochs: shares of a trial's own compute. They pause and promote (`type="promotion"`, as in their authors' papers
where checkpoints exist), look first at 1/27 of the length (1/8 where a sweep has fewer than 27 trials), and have their default
factor, 3. Their spaces know no conditions: a knob that is not active is drawn and ignored. Unless told a default they begin with
the middle of the space, as their manual says. They name what `ExperimentResult.best_config` does, the best score of all. The
release is 0.13, the last with MOBSTER. Where a judge has no curves it is its RandomSearch or BayesianOptimization.
"""

import datetime
import logging
from collections.abc import Callable, Mapping
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
from syne_tune.optimizer.baselines import ASHA, MOBSTER, BayesianOptimization, HyperTune, RandomSearch
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler

from benchmarks.search.judges.judge import Knob, Run, Sweep
from benchmarks.search.judges.peers.drive import FIRST_RUNG, active, all_codes, first_share, is_number, is_spent, objective, share

METRIC, RESOURCE, MOST = "objective", "epoch", "epochs"
AT = datetime.datetime(2000, 1, 1)
"""A trial wants to know when it was made; nobody asks."""


def _dimension(knob: Knob) -> Any:
    if not is_number(knob):
        return choice(list(range(len(knob.values))))
    if knob.kind == "choice":
        return randint(0, len(knob.values) - 1)
    if knob.kind == "int":
        return (lograndint if knob.is_log else randint)(int(knob.low), int(knob.high))
    return (loguniform if knob.is_log else uniform)(knob.low, knob.high)


def _with(scheduler: Callable[..., TrialScheduler], whole: Callable[..., TrialScheduler], **options: Any) -> Callable[..., None]:
    def sweep(sweep: Sweep, *, tries_default: bool, first: float | None = None, eta: int = 3) -> None:
        logging.getLogger().setLevel(logging.ERROR)
        judge = sweep.judge
        space = {knob.name: _dimension(knob) for knob in judge.knobs}
        shared = {
            "metric": METRIC,
            "mode": "max",
            "random_seed": sweep.seed % 2**31,
            "points_to_evaluate": [all_codes(judge.knobs, judge.default)] if tries_default else None,
        }
        rungs = {
            "resource_attr": RESOURCE,
            "max_resource_attr": MOST,
            "grace_period": share(judge, first or first_share(sweep, eta, FIRST_RUNG)),
            "reduction_factor": eta,
        }
        has_curves = judge.epochs > 1
        tool = scheduler({**space, MOST: judge.epochs}, **shared, **rungs, **options) if has_curves else whole(space, **shared)
        _Course(tool, sweep).run()

    return sweep


class _Course:
    """One worker."""

    def __init__(self, tool: TrialScheduler, sweep: Sweep) -> None:
        self._tool, self._sweep = tool, sweep
        self._trials: dict[int, tuple[Trial, Run]] = {}
        self._best: tuple[float, Run | None] = (float("-inf"), None)

    def run(self) -> None:
        """Until the sweep is over: promotions go on when all trials are begun."""
        while not is_spent(self._sweep):
            number = len(self._trials)
            asked = self._tool.suggest(number)
            if asked is None:
                return
            if not asked.spawn_new_trial_id:
                self._train(*self._trials[asked.checkpoint_trial_id])
            elif self._sweep.is_over:
                return
            else:
                trial = Trial(number, asked.config, AT)
                self._trials[number] = trial, self._sweep.begin(active(self._sweep.judge.knobs, asked.config))
                self._tool.on_trial_add(trial)
                self._train(*self._trials[number])

    def _train(self, trial: Trial, run: Run) -> None:
        decision, last = SchedulerDecision.CONTINUE, self._sweep.judge.epochs
        while decision == SchedulerDecision.CONTINUE and run.epoch < last and not is_spent(self._sweep):
            value = objective(run.train_to(run.epoch + 1))
            self._best = max(self._best, (value, run), key=lambda pair: pair[0])
            result = {METRIC: value, RESOURCE: run.epoch}
            decision = self._tool.on_trial_result(trial, result)
            if run.epoch == last:
                self._tool.on_trial_complete(trial, result)
            elif decision != SchedulerDecision.CONTINUE:
                self._tool.on_trial_remove(trial)
            self._sweep.report(self._best[1])


TOOLS: Mapping[str, Callable[..., None]] = {
    "synetune-asha": _with(ASHA, RandomSearch, type="promotion"),
    "synetune-asha-stopping": _with(ASHA, RandomSearch, type="stopping"),
    "synetune-mobster": _with(MOBSTER, BayesianOptimization, type="promotion"),
    "synetune-hypertune": _with(HyperTune, BayesianOptimization, type="promotion", brackets=2),
}
