"""This project's search on a judge: the real `Search`, with the settings of a person who sets nothing, but for what is said.

    run(Sweep(judge, seed=3, limits=Limits(trials=25)))
    run(sweep, sampler="random", scheduler={"type": "asha", "eta": 3})     # sections of a search space, as in YAML

A judge's knobs are knobs of the product's own kinds, fields of an optimizer that is imported as a person's own would be. The base
of the space is the judge's default, with which a sweep begins (`base_point=None`: it does not). Where all configurations cost alike
the fidelity is training FLOPs, else steps; a step is a hundredth of an epoch. Confirmations are paid, and counted apart from
trials (`confirm=None`: there are none). What is reported is what a sweep would export.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.search.course import Course, Trained, Trainer
from benchmarks.search.judges.judge import Judge, Knob, Params, Run, Sweep, Value, drawn
from benchmarks.search.replay import Remembered, resolved_once, with_ladder
from benchmarks.search.tables import TableCost
from trm.config.imports import honour
from trm.config.run import RunConfig
from trm.search.findings.confirmed import winner
from trm.search.journal.events import LegStarted
from trm.search.journal.trial import Trial
from trm.search.search import Search
from trm.search.space.candidates import CostOf
from trm.search.space.defaults import with_defaults
from trm.search.space.rules import RULES
from trm.search.space.space import SearchSpace

MEMBER = "benchmarks.search.judges.member"
EPOCH_STEPS = 100
"""Enough for the first rung that the product wants."""
FULL_FLOPS = 1e15
"""Of a full length."""
BASE = {
    "model": {"mlp_t": True, "pos_encodings": "none", "puzzle_emb_len": 1, "halt_max_steps": 4},
    "training": {"global_batch_size": 8},
}
"""Of a network that nobody trains."""


def run(sweep: Sweep, **sections: Any) -> None:
    """The whole sweep, within its limits; `sections` of the search space are set, the others as they are when nothing is set."""
    search, trainer = sweep_of(sweep, sections)
    Course(search, trainer).run()


def sweep_of(sweep: Sweep, sections: Mapping[str, Any]) -> tuple[Search, Trainer]:
    """The search of a sweep before its first event, and who trains its legs."""
    problem = _problem(sweep.judge)
    space = problem.space(sweep, sections)
    begun = with_ladder(space.model_copy(update={"search": {}}), problem.cost_of, problem.remembered)  # all make as many steps
    space = space.model_copy(update={"seed": sweep.seed, "scheduler": begun.scheduler})
    search = Search(space, problem.cost_of)
    resolved_once(search, problem.remembered, problem.key)
    return search, _Trainer(search, problem, sweep)


def cost_of(judge: Judge) -> CostOf:
    """What a step of a judge's configurations takes."""
    return _problem(judge).cost_of


def begins_with(judge: Judge, point: Params) -> dict[str, Any]:
    """Sections of a space whose first trial has these values, of the knobs that the point has; those of a judge's own names."""
    problem = _problem(judge)
    return {"base_point": {problem.paths[name]: value for name, value in point.items()}}


def believes(judge: Judge, point: Params) -> dict[str, Any]:
    """Sections of a space that has these values as the priors of their knobs, and begins with them."""
    problem = _problem(judge)
    search = problem.search()
    for name, value in point.items():
        search[problem.paths[name]]["prior"] = {"at": value}
    return {"search": search, **begins_with(judge, point)}


@dataclass
class _Problem:
    """A judge as the product sees it."""

    judge: Judge
    paths: dict[str, str]
    """Knob -> path in the run configuration."""
    is_even: bool
    """Whether all configurations cost alike."""
    remembered: Remembered = field(default_factory=dict)

    def space(self, sweep: Sweep, sections: Mapping[str, Any]) -> SearchSpace:
        """The search space of a sweep with these limits."""
        trials, compute = sweep.limits.trials, sweep.limits.compute
        budget: dict[str, Any] = {"per_trial": FULL_FLOPS if self.is_even else self.judge.epochs * EPOCH_STEPS}
        if math.isfinite(trials):
            budget["trials"] = int(trials)
        if math.isfinite(compute):
            budget["train_flops"] = compute * FULL_FLOPS * (1 + 1e-9)
        optim = {self.paths[name].removeprefix("optim."): value for name, value in self.judge.default.items()}
        values = {
            "name": self.judge.name.replace("_", "-"),
            "imports": [MEMBER],
            "data": {"recipe": "datasets/sudoku4x4.yaml"},
            "base": {**BASE, "optim": {"type": "judged", "lr_warmup_steps": 0, **optim}},
            "search": self.search(),
            "fidelity": "train_flops" if self.is_even else "steps",
            "budget": budget,
            "tracking": {"enabled": False},
        }
        mapping = {**values, **sections}
        return with_defaults(SearchSpace.model_validate(mapping), mapping, RULES)

    def search(self) -> dict[str, Any]:
        """The judge's knobs, as a search space has them."""
        return {self.paths[knob.name]: self._knob(knob) for knob in self.judge.knobs}

    def _knob(self, knob: Knob) -> dict[str, Any]:
        when = {self.paths[name]: list(values) for name, values in knob.when.items()}
        if knob.kind == "choice":
            return {"type": "choice", "values": list(knob.values), "when": when}
        if knob.kind == "int":
            return {"type": "int", "low": int(knob.low), "high": int(knob.high), "log": knob.is_log, "when": when}
        return {"type": "float", "low": knob.low, "high": knob.high, "log": knob.is_log, "when": when}

    def params(self, found: Mapping[str, Any]) -> dict[str, Value]:
        """The judge's parameters, of the product's."""
        return {knob.name: found[self.paths[knob.name]] for knob in self.judge.knobs if self.paths[knob.name] in found}

    def key(self, found: Mapping[str, Any]) -> Hashable:
        """What tells one configuration from another."""
        return tuple(found.get(path) for path in self.paths.values())

    def cost_of(self, config: RunConfig) -> TableCost:
        """What a step of a configuration takes."""
        params: dict[str, Value] = {}
        for knob in self.judge.knobs:
            if knob.is_active(params):
                params[knob.name] = getattr(config.optim, self.paths[knob.name].removeprefix("optim."))
        steps = self.judge.epochs * EPOCH_STEPS
        return TableCost(self.judge.cost(params) * FULL_FLOPS / steps)


_problems: dict[str, _Problem] = {}


def _problem(judge: Judge) -> _Problem:
    """The judge as it was looked at before: what parameters mean is dear to find out."""
    honour([MEMBER])
    if (known := _problems.get(judge.name)) is not None and known.judge is judge:
        return known
    draw = np.random.default_rng(0)
    costs = [judge.cost(drawn(judge.knobs, draw)) for _ in range(50)]
    paths = {knob.name: f"optim.knob_{at}" for at, knob in enumerate(judge.knobs)}
    _problems[judge.name] = _Problem(judge, paths, is_even=max(costs) <= min(costs) * (1 + 1e-9))
    return _problems[judge.name]


class _Trainer:
    """Trains trials as runs of the judge's sweep."""

    def __init__(self, search: Search, problem: _Problem, sweep: Sweep) -> None:
        self._search, self._problem, self._sweep = search, problem, sweep
        self._runs: dict[int, Run] = {}

    def train(self, trial: Trial, leg: LegStarted) -> Trained:
        """Up to the last whole epoch that the leg reaches, so that no more is paid than the search knows of."""
        run = self._run(trial)
        before, epoch = run.epoch, max(1, leg.until_steps // EPOCH_STEPS)
        found = run.train_to(epoch)
        seconds = (run.epoch - before) * self._sweep.judge.cost(run.params)
        return Trained(found.score / 100, found.loss, found.standard_error / 100 or None, seconds)

    def ended(self, trial: Trial, leg: LegStarted) -> bool:
        """Reports who would win now; the search itself knows its budget."""
        best = winner(self._search.state)
        self._sweep.report(None if best is None else self._run(best.trial))
        return False

    def _run(self, trial: Trial) -> Run:
        if trial.number not in self._runs:
            params = self._problem.params(trial.params)
            self._runs[trial.number] = self._sweep.begin(params, is_confirmation=trial.is_confirmation)
        return self._runs[trial.number]
