"""Optuna alone: its TPE and its Gaussian process, each with its halving and its Hyperband pruner.

The resource is epochs: shares of a trial's own compute. TPE is multivariate (the default since 5.0), in groups where knobs are
conditional; the space is defined by run. Halving looks first at an eighth of the length with its factor 4, Hyperband with its
factor 3. It names `Study.best_trial`, which is one that was not pruned.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import TrialState

from benchmarks.search.judges.judge import Judge, Knob, Run, Sweep, Value
from benchmarks.search.judges.peers.drive import FIRST_RUNG, decoded, encoded, is_number, is_spent, objective, share

optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggested(trial: Any, knobs: Sequence[Knob]) -> dict[str, Value]:
    """The configuration of a trial, its space defined by run."""
    params: dict[str, Value] = {}
    for knob in knobs:
        if knob.is_active(params):
            params[knob.name] = decoded(knob, _suggest(trial, knob))
    return params


def _suggest(trial: Any, knob: Knob) -> Any:
    if not is_number(knob):
        return trial.suggest_categorical(knob.name, range(len(knob.values)))
    if knob.kind == "choice":
        return trial.suggest_int(knob.name, 0, len(knob.values) - 1)
    if knob.kind == "int":
        return trial.suggest_int(knob.name, int(knob.low), int(knob.high), log=knob.is_log)
    return trial.suggest_float(knob.name, knob.low, knob.high, log=knob.is_log)


def default_codes(judge: Judge) -> dict[str, Any]:
    """What is enqueued to try the default first."""
    return {knob.name: encoded(knob, judge.default[knob.name]) for knob in judge.knobs if knob.name in judge.default}


def tpe(judge: Judge, seed: int) -> TPESampler:
    """TPE as its manual has it for such a space."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return TPESampler(seed=seed, multivariate=True, group=any(knob.when for knob in judge.knobs))


def _gp(judge: Judge, seed: int) -> GPSampler:
    return GPSampler(seed=seed)


def _halving(judge: Judge, first: float, eta: int) -> SuccessiveHalvingPruner:
    return SuccessiveHalvingPruner(min_resource=share(judge, first), reduction_factor=eta)


def _hyperband(judge: Judge, first: float, eta: int) -> HyperbandPruner:
    return HyperbandPruner(min_resource=share(judge, first), max_resource=judge.epochs, reduction_factor=eta)


def _with(
    sampler: Callable[[Judge, int], BaseSampler], pruner: Callable[[Judge, float, int], BasePruner], default_eta: int
) -> Callable[..., None]:
    def sweep(sweep: Sweep, *, tries_default: bool, first: float = FIRST_RUNG, eta: int = default_eta) -> None:
        judge = sweep.judge
        study = optuna.create_study(
            study_name=f"{judge.name}-{sweep.seed}",
            direction="maximize",
            sampler=sampler(judge, sweep.seed),
            pruner=pruner(judge, first, eta),
        )
        if tries_default:
            study.enqueue_trial(default_codes(judge))
        runs: dict[int, Run] = {}
        while not sweep.is_over:
            trial = study.ask()
            runs[trial.number] = sweep.begin(suggested(trial, judge.knobs))
            _train(study, trial, runs)

    return sweep


def _train(study: optuna.Study, trial: optuna.Trial, runs: Mapping[int, Run]) -> None:
    """To the trial's end, or until it is pruned or the sweep's compute is spent."""
    run = runs[trial.number]
    last = run.sweep.judge.epochs
    is_running = True
    while is_running:
        value = objective(run.train_to(run.epoch + 1))
        trial.report(value, run.epoch)
        is_pruned = run.epoch < last and trial.should_prune()
        is_running = run.epoch < last and not is_pruned and not is_spent(run.sweep)
        if is_pruned:
            study.tell(trial, state=TrialState.PRUNED)
        elif run.epoch == last:
            study.tell(trial, value)
        whole = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        run.sweep.report(runs[study.best_trial.number] if whole else None)


TOOLS: Mapping[str, Callable[..., None]] = {
    "optuna-tpe-halving": _with(tpe, _halving, 4),
    "optuna-tpe-hyperband": _with(tpe, _hyperband, 3),
    "optuna-gp-halving": _with(_gp, _halving, 4),
    "optuna-gp-hyperband": _with(_gp, _hyperband, 3),
}
