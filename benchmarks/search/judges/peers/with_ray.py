"""Ray Tune's ASHA with its OptunaSearch, its own classes driven without a cluster, one trial at a time.

The time is epochs: shares of a trial's own compute. It looks first at an eighth of the length; the factor is its default, 4. The
space is defined by run, and the searcher is TPE as Optuna's manual has it for such a space. It names what
`ResultGrid.get_best_result` does: the trial whose last result is best.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.trial_scheduler import TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.search.judges.judge import Run, Sweep
from benchmarks.search.judges.peers.drive import FIRST_RUNG, active, is_spent, objective, share
from benchmarks.search.judges.peers.with_optuna import default_codes, suggested, tpe

optuna.logging.set_verbosity(optuna.logging.WARNING)
METRIC, TIME = "objective", "training_iteration"


@dataclass
class TuneTrial:
    """What a scheduler of Tune looks at of a trial."""

    trial_id: str


def _asha(sweep: Sweep, *, tries_default: bool, first: float = FIRST_RUNG, eta: int = 4) -> None:
    judge = sweep.judge

    def space(trial: Any) -> None:
        suggested(trial, judge.knobs)

    searcher = OptunaSearch(
        space,
        metric=METRIC,
        mode="max",
        sampler=tpe(judge, sweep.seed),
        points_to_evaluate=[default_codes(judge)] if tries_default else None,
    )
    scheduler = ASHAScheduler(
        time_attr=TIME, metric=METRIC, mode="max", max_t=judge.epochs, grace_period=share(judge, first), reduction_factor=eta
    )
    last: dict[int, float] = {}
    while not sweep.is_over:
        trial = TuneTrial(f"{sweep.seed}_{len(sweep.runs):05d}")
        run = sweep.begin(active(judge.knobs, searcher.suggest(trial.trial_id)))
        scheduler.on_trial_add(None, trial)
        result = _train(trial, run, scheduler, searcher, last)
        scheduler.on_trial_complete(None, trial, result)
        searcher.on_trial_complete(trial.trial_id, result=result)


def _train(
    trial: TuneTrial, run: Run, scheduler: ASHAScheduler, searcher: OptunaSearch, last: dict[int, float]
) -> dict[str, float]:
    """The trial's last result."""
    while True:
        last[run.number] = objective(run.train_to(run.epoch + 1))
        run.sweep.report(run.sweep.runs[max(last, key=last.__getitem__)])
        result = {TIME: run.epoch, METRIC: last[run.number]}
        if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP or is_spent(run.sweep):
            return result
        searcher.on_trial_result(trial.trial_id, result)


TOOLS: Mapping[str, Callable[..., None]] = {"ray-asha": _asha}
