"""Asking: what Optuna is shown, that the same history gives the same ask, and that nothing is asked twice."""

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState
from search_simulator import LegOrder, Simulator, cost_of, curve

from trm.config.files import merged
from trm.search.asking.ask import Asker
from trm.search.asking.proposals import Proposer
from trm.search.journal.events import Adopted, Asked, LegEnded, TrialStatus
from trm.search.journal.trial import Ended, Paused, Phase, Trial, Waiting
from trm.search.order import Order
from trm.search.samplers.choice import SamplerChoice
from trm.search.samplers.distributions import suggested
from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.search.samplers.study import LOSS_WEIGHT, Shown, StudyView, shown
from trm.search.samplers.study_fronts import FrontView
from trm.search.samplers.study_storage import HistoryStorage
from trm.search.search import Search
from trm.search.space.candidates import Resolver
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

SPACE: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "x.yaml"},
    "base": {"model": {"puzzle_emb_len": 1, "pos_encodings": "none", "num_heads": 2, "hidden_size": 64}},
    "search": {
        "model.mlp_t": {"type": "choice", "values": [True, False]},
        "model.num_heads": {"type": "choice", "values": [1, 2, 4], "when": {"model.mlp_t": False}},
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    },
    "budget": {"trials": 12, "per_trial": 1e13},
    "scheduler": {"type": "asha", "eta": 3, "rungs": 2},
    "seed": 3,
}
FINITE = {"optim.lr": {"low": 1e-3, "high": 1e-3}}


def space(changes: dict[str, Any] | None = None) -> SearchSpace:
    return SearchSpace.model_validate(merged(SPACE, changes or {}))


def trial(
    number: int,
    lr: float,
    status: TrialStatus,
    objectives: list[float],
    *,
    loss: float | None = None,
    heads: int | None = None,
    notes: dict[str, Any] | None = None,
) -> Trial:
    params: dict[str, Any] = {"model.mlp_t": heads is None, "model.H_cycles": 1 + number % 3, "optim.lr": lr}
    params |= {} if heads is None else {"model.num_heads": heads}
    asked = Asked(
        trial=number, params=params, source="sampler", digest=f"{number:x}", seed=0, max_steps=9, step_flops=1.0, params_count=1,
        sampler_notes=notes or {}, at=0.0,
    )  # fmt: skip
    results = {
        rung: LegEnded(trial=number, rung=rung, attempt=0, status="completed", objective=value, loss=loss, at=0.0)
        for rung, value in enumerate(objectives)
    }
    scores = {rung: Order("max").score(result, asked.digest) for rung, result in results.items()}
    return Trial(asked, phase=phase_of(status), results=results, scores=scores)


def phase_of(status: TrialStatus) -> Phase:
    return Waiting(1) if status == "running" else Paused() if status == "paused" else Ended(status)


ROWS: list[tuple[TrialStatus, list[float], TrialState, float | None]] = [
    ("finished", [0.2, 0.6], TrialState.COMPLETE, 0.6),
    ("stopped", [0.2], TrialState.PRUNED, 0.2),
    ("paused", [0.3], TrialState.PRUNED, 0.3),
    ("running", [0.4], TrialState.PRUNED, 0.4),
    ("running", [], TrialState.RUNNING, None),
    ("diverged", [0.4], TrialState.PRUNED, None),
    ("out_of_memory", [], TrialState.PRUNED, None),
    ("failed", [], TrialState.PRUNED, None),
    ("stopped", [], TrialState.FAIL, None),
]


def test_what_optuna_is_shown_is_the_table() -> None:
    view = StudyView(space().search, Order("max"))
    trials = [trial(number, 1e-3, status, objectives) for number, (status, objectives, _, _) in enumerate(ROWS)]
    study = view.study(trials, optuna.samplers.RandomSampler(seed=0))
    for found, ours, (status, objectives, state, value) in zip(study.get_trials(deepcopy=False), trials, ROWS, strict=True):
        assert (found.number, found.state, found.params) == (ours.number, state, ours.params)
        is_impossible = status in ("diverged", "out_of_memory", "failed")
        assert (sum(found.constraints.values()) > 0) == is_impossible
        assert found.intermediate_values == ({} if is_impossible else dict(enumerate(objectives)))
        if value is not None:
            assert max(found.intermediate_values.items())[1] == value
        assert found.value == (value if state == TrialState.COMPLETE else None)
    assert study.best_trial.number == 0


def test_where_all_score_zero_the_loss_teaches_and_nowhere_else() -> None:
    worse, better = (shown(trial(0, 1e-3, "paused", [0.0], loss=loss), Order("max")).values[0][1] for loss in (3.0, 1.0))
    assert worse < better <= 0.0
    assert better - worse < LOSS_WEIGHT
    lower = [shown(trial(0, 1e-3, "paused", [0.5], loss=loss), Order("min")).values[0][1] for loss in (3.0, 1.0)]
    assert lower[0] > lower[1] >= 0.5
    assert shown(trial(0, 1e-3, "paused", [0.25], loss=3.0), Order("max"), with_loss=False).values == ((0, 0.25),)
    one_example_in_a_million = shown(trial(0, 1e-3, "paused", [1e-6], loss=1e9), Order("max")).values[0][1]
    assert one_example_in_a_million > shown(trial(0, 1e-3, "paused", [0.0], loss=0.0), Order("max")).values[0][1]


def learned(make: Callable[[int, float], Trial], *, count: int = 30) -> float:
    """Mean of log10(lr) that TPE proposes after `count` trials over three decades."""
    trials = [make(number, 10 ** (-4 + 3 * number / (count - 1))) for number in range(count)]
    proposer = Proposer(space({"sampler": {"type": "tpe", "startup_trials": 5}}))
    drawn = [next(proposer.proposals(trials, number)).params["optim.lr"] for number in range(count, count + 25)]
    return sum(math.log10(lr) for lr in drawn) / len(drawn)


def test_tpe_learns_from_stopped_trials_at_their_rung() -> None:
    assert learned(lambda number, lr: trial(number, lr, "stopped", [math.log10(lr) + 4])) > -2.0
    assert learned(lambda number, lr: trial(number, lr, "stopped", [-math.log10(lr)])) < -3.0


def test_tpe_learns_from_the_loss_where_all_score_zero() -> None:
    assert learned(lambda number, lr: trial(number, lr, "stopped", [0.0], loss=-math.log10(lr))) > -2.0


def test_tpe_leaves_what_diverges() -> None:
    def make(number: int, lr: float) -> Trial:
        return trial(number, lr, "diverged", []) if lr > 3e-3 else trial(number, lr, "stopped", [0.5])

    assert learned(make) < -2.6


def test_a_trial_that_was_promoted_does_not_count_as_bad() -> None:
    def make(number: int, lr: float) -> Trial:
        is_good = lr > 1e-2
        return trial(number, lr, "running" if is_good else "stopped", [0.9 if is_good else 0.1])

    assert learned(make) > -2.0


def test_tpe_reads_what_trials_are_worth_across_rungs_where_its_sampler_compares_them() -> None:
    known = [
        trial(0, 1e-3, "finished", [0.2, 0.3]),  # the first that came, promoted among few
        trial(1, 1e-3, "stopped", [0.1]),
        trial(2, 1e-2, "paused", [0.6]),
        trial(3, 1e-2, "finished", [0.5, 0.7]),
        trial(4, 1e-2, "diverged", []),
        trial(5, 1e-2, "running", []),
    ]

    def order(**shows: bool) -> list[int]:
        study = StudyView(space().search, Order("max"), **shows).study(known, RandomSampler())
        assert isinstance(study._storage, HistoryStorage)
        assert study._storage.told is not None
        return [int(index) for index in np.lexsort(study._storage.told.rows[:, 2::-1].T)]

    assert order() == [3, 0, 2, 1, 4, 5], "whoever finished comes first"
    assert order(by_standing=True) == [2, 3, 0, 1, 4, 5], "the finished ones by the places that they share at the first rung"


RECORDED: list[tuple[dict[str, Any], tuple[float, ...]]] = [
    ({"type": "tpe", "startup_trials": 4}, (0.0743568579250991, 0.09817289418525493)),
    ({"type": "surrogate"}, (0.0493838310093825, 0.07049521632981819)),
    ({"type": "random"}, (0.015120355290581013, 0.052035450205626554)),
    ({"type": "brute_force"}, (0.015120355290581013, 0.052035450205626554)),
    ({"type": "qmc"}, (0.0015849694045474893, 0.09903685588041067)),
    ({"type": "qmc", "sequence": "halton"}, (0.00011970964571573724, 0.0004765726834385372)),
    ({"type": "gp", "startup_trials": 3}, (0.1, 0.1)),
    ({"type": "nsga2", "population": 4}, (0.001828692309131281, 0.07049521632981819)),
    ({"type": "nsga3", "population": 4}, (0.001828692309131281, 0.07049521632981819)),
]
"""Learning rates that each sampler proposes first for trials 6 and 7 after the same six, as it always did."""


@pytest.mark.parametrize(
    ("sampler", "rates"), RECORDED, ids=lambda one: "-".join(map(str, one.values())) if isinstance(one, dict) else ""
)
def test_a_sampler_proposes_what_it_always_did(sampler: dict[str, Any], rates: tuple[float, ...]) -> None:
    against = {"objective": {"against": ["params"]}} if sampler["type"] == "nsga3" else {}
    proposer = Proposer(space({"sampler": sampler, **against}))
    trials = [trial(number, 10 ** (-4 + number / 2), "finished", [number / 6]) for number in range(6)]
    for one in trials if against else ():
        one.scores[0] = replace(one.scores[0], others=(float(one.number % 3),))
    found = [next(proposer.proposals(trials, number)).params["optim.lr"] for number in (6, 7)]
    assert found == pytest.approx(rates, rel=1e-3 if sampler["type"] in ("gp", "surrogate") else 1e-9)


def test_every_sampler_there_is_has_recorded_proposals() -> None:
    members = get_args(get_args(SamplerChoice)[0])
    assert {member.model_fields["type"].default for member in members} == {sampler["type"] for sampler, _ in RECORDED} | {
        "carried"  # proposes nothing: it tries what earlier sweeps did
    }
    for member in members:
        assert issubclass(member, SamplerSettings)


SAMPLERS: list[dict[str, Any]] = [
    {"type": "tpe", "startup_trials": 4},
    {"type": "random"},
    {"type": "surrogate"},
    {"type": "qmc"},
    {"type": "qmc", "sequence": "halton"},
    {"type": "nsga2", "population": 4},
]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: "-".join(map(str, sampler.values())))
def test_every_sampler_asks_the_same_after_the_same_and_never_the_same_twice(tmp_path: Path, sampler: dict[str, Any]) -> None:
    demo = space({"sampler": sampler})
    log = Simulator(demo, tmp_path).run()
    trials = log.search.state.trials
    assert len(trials) == 12
    assert len({one.asked.digest for one in trials}) == 12
    for one in trials:
        assert demo.complete(one.params) == one.params
        assert one.asked.seed == derived_seed(3, "trial", one.number)
    first, second = (Asker(Resolver(demo, cost_of)).choose(trials, {}, 12) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.candidate.params == second.candidate.params
    asks = [Asker(Resolver(demo, cost_of)).choose(trials, {}, number) for number in range(12, 16)]
    assert len({json.dumps(ask.candidate.params) for ask in asks if ask is not None}) >= 3, "moves from one trial may meet"


def test_a_gaussian_process_asks_from_finished_trials() -> None:
    proposer = Proposer(space({"sampler": {"type": "gp", "startup_trials": 3}}))
    trials = [trial(number, 10 ** (-4 + number / 2), "finished", [number / 6]) for number in range(6)]
    first, second = (next(proposer.proposals(trials, 6)).params for _ in range(2))
    assert first == second
    assert space().complete(first) == first


def test_nsga_keeps_its_generations_through_the_journal(tmp_path: Path) -> None:
    log = Simulator(
        space({"sampler": {"type": "nsga2", "population": 3}, "scheduler": {"type": "asha", "rungs": 1}}), tmp_path
    ).run()
    generations = [next(iter(one.asked.sampler_notes.values())) for one in log.search.state.trials]
    assert generations == sorted(generations)
    assert generations[0] == 0
    assert generations[-1] >= 2


def test_start_points_come_first_once_each(tmp_path: Path) -> None:
    points = [
        {"model.mlp_t": True, "optim.lr": 1e-3},
        {"model.mlp_t": True, "optim.lr": 1e-3, "model.H_cycles": 3},
        {"optim.lr": 2e-3},
    ]
    demo = space({"start_points": points, "base": {"model": {"mlp_t": True}}})
    trials = Simulator(demo, tmp_path).run().search.state.trials
    assert [one.asked.source for one in trials] == ["start_point"] * 2 + ["sampler"] * 10, "the base has H_cycles 3: two are one"
    assert [one.params["optim.lr"] for one in trials[:2]] == [1e-3, 2e-3]
    assert all(one.params["model.H_cycles"] == 3 for one in trials[:2])


@pytest.mark.parametrize("kind", ["tpe", "surrogate", "random", "brute_force"])
def test_a_small_space_is_asked_to_its_last_configuration_and_no_further(tmp_path: Path, kind: str) -> None:
    demo = space({"search": FINITE, "sampler": {"type": kind}, "budget": {"trials": 99}})
    search = Simulator(demo, tmp_path).run().search
    assert search.state.ended is not None
    assert search.state.ended.reason == "no new configuration is left in the space"
    assert len(search.state.trials) == 3 + 3 * 3, "num_heads counts only without mlp_t"
    assert len({one.asked.digest for one in search.state.trials}) == 12


def test_the_same_network_under_another_expansion_is_not_asked_again(tmp_path: Path) -> None:
    knobs = {**FINITE, "model.expansion": {"type": "choice", "values": [3.0, 3.5, 4.0]}}
    search = Simulator(space({"search": knobs, "budget": {"trials": 99}}), tmp_path).run().search
    assert len(search.state.trials) == 12


def test_constraints_hold_for_every_trial_that_is_asked(tmp_path: Path) -> None:
    demo = space({"constraints": ["mlp_t or num_heads > 2", "lr < 1e-2 or H_cycles == 1"]})
    for one in Simulator(demo, tmp_path).run().search.state.trials:
        assert one.params["model.mlp_t"] or one.params["model.num_heads"] == 4
        assert one.params["optim.lr"] < 1e-2 or one.params["model.H_cycles"] == 1


def test_a_better_sampler_finds_better_trials_than_none() -> None:
    """TPE's mean over its last asks beats random search's on a plain peak, with the seeds of ten sweeps."""

    def mean_quality(kind: str, seed: int) -> float:
        demo = space({"sampler": {"type": kind}, "seed": seed, "scheduler": {"type": "asha", "rungs": 1}})
        search = Search(demo, cost_of)
        for number in range(25):
            choice = Asker(search.state.resolver).choose(search.state.trials, {}, number)
            assert choice is not None
            lr = choice.candidate.params["optim.lr"]
            search.state.trials.append(trial(number, lr, "finished", [1 - abs(math.log10(lr) + 2)]))
        return sum(one.results[0].objective or 0.0 for one in search.state.trials[12:]) / 13

    assert sum(mean_quality("tpe", seed) for seed in range(6)) > sum(mean_quality("random", seed) for seed in range(6)) + 6 * 0.2


def test_derived_seeds_differ_by_purpose_and_number() -> None:
    seeds = [derived_seed(0, purpose, number) for purpose in ("trial", "sampler") for number in range(50)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0, "trial", 1) == derived_seed(0, "trial", 1) != derived_seed(1, "trial", 1)


def test_the_simulators_curve_is_a_function_of_the_order() -> None:
    search = Search(space(), cost_of)
    choice = Asker(search.state.resolver).choose([], {}, 0)
    assert choice is not None
    order = LegOrder(0, 0, 0, choice.candidate.config, 100, None)
    assert curve(order) == curve(order)


def test_a_study_shows_the_best_and_the_latest_of_many_trials() -> None:
    values = random.Random(0).sample(range(1000), 60)
    trials = [
        trial(number, 1e-3, "finished" if value % 3 == 0 else "stopped", [value / 1000] * (2 if value % 3 == 0 else 1))
        for number, value in enumerate(values)
    ]
    view = StudyView(space().search, Order("max"), most=20)
    for _ in range(2):
        study = view.study(trials, optuna.samplers.RandomSampler(seed=0))
        seen = [found.intermediate_values[max(found.intermediate_values)] for found in study.get_trials(deepcopy=False)]
        finished = sorted((value for value in values[:42] if value % 3 == 0), reverse=True)
        kept = sorted(finished[:2], key=values.index) + values[42:]
        assert seen == pytest.approx([value / 1000 for value in kept], abs=1e-6)
        assert [found.number for found in study.get_trials(deepcopy=False)] == list(range(20))


@pytest.mark.parametrize("against", [[], ["params"]], ids=["one objective", "two"])
def test_tpe_on_rows_draws_what_optunas_own_draws(against: list[str]) -> None:
    """While trials are asked for, go on, end in every way and are left out of a study of at most 40."""
    asking = space({"sampler": {"type": "tpe"}, "objective": {"against": against}})
    view: StudyView | FrontView = StudyView(asking.search, Order("max"), most=40)
    if against:
        view = FrontView(asking.search, asking.objective, most=40)
    draw, trials = random.Random(0), list[Trial]()
    for number in range(90):
        trials.append(trial(number, 10 ** draw.uniform(-4, -1), "running", [], heads=draw.choice([None, 2, 4])))
        for other in draw.sample(range(number + 1), min(number + 1, 3)):
            status, objectives, _, _ = draw.choice(ROWS)
            made, changed = trial(other, 1e-3, status, [one and draw.random() for one in objectives]), trials[other]
            others = tuple(float(other * 37 % 11) for _ in against)
            changed.phase, changed.results = made.phase, made.results
            changed.scores = {rung: replace(score, others=others) for rung, score in made.scores.items()}
        if number % 3 == 0:
            assert three_draws(asking, view, trials) == three_draws(asking, view, trials, sample=TPESampler._sample)


def three_draws(
    asking: SearchSpace, view: StudyView | FrontView, trials: list[Trial], *, sample: Callable[..., Any] | None = None
) -> list[dict[str, Any]]:
    """Of the space's TPE, or of the one whose `_sample` that is; the first two are turned down."""
    number, knobs = len(trials), dict(asking.knobs_in_order())
    sampler = asking.sampler.sampler(Ask(number, seed=number, sweep_seed=0, knobs=knobs, rules=4))
    assert isinstance(sampler, TPESampler)
    if sample is not None:
        sampler._sample = partial(sample, sampler)
    study = view.study(trials, sampler)
    drawn = []
    for _ in range(3):
        asked, params = study.ask(), dict[str, Any]()
        for path, knob in knobs.items():
            if knob.is_active(params):
                params[path] = suggested(asked, path, knob)
        drawn.append(params)
    return drawn


def test_tpe_offers_what_was_not_tried_first_and_then_the_next_best() -> None:
    cycles = {"model.H_cycles": {"type": "int", "low": 1, "high": 10}, "model.L_cycles": {"type": "int", "low": 1, "high": 3}}
    asking = SearchSpace.model_validate({**SPACE, "search": cycles, "sampler": {"type": "tpe"}})

    def tried(number: int) -> Trial:
        one = trial(number, 1e-3, "stopped", [0.9 - number / 30])
        params = {"model.H_cycles": 1 + number % 10, "model.L_cycles": 1 + number // 10}
        one.asked = one.asked.model_copy(update={"params": params})
        return one

    trials = [tried(number) for number in range(20)]
    known, wasted = [one.asked.params for one in trials], {4: 0, 5: 0}
    for number in range(20, 30):
        for rules in wasted:
            proposals = Proposer(asking, rules).proposals(trials, number)
            drawn = [next(proposals).params for _ in range(3)]
            wasted[rules] += sum(one in known or one in drawn[:place] for place, one in enumerate(drawn))
    assert wasted[4] > 5, "of 30"
    assert wasted[5] == 0


def test_what_is_tried_again_after_a_lost_node_is_not_the_configurations_fault() -> None:
    again = trial(0, 1e-3, "running", [0.4])
    again.troubles.update({"lost": 3, "stalled": 1})
    assert shown(again, Order("max")).state == "pruned"
    assert shown(trial(0, 1e-3, "running", []), Order("max")).state == "running"


def test_tpe_learns_nothing_from_what_was_never_scored() -> None:
    def make(number: int, lr: float) -> Trial:
        return trial(number, lr, "stopped", [math.log10(lr) + 4])

    unscored = [trial(30 + number, 10 ** (-1.2 - number / 100), "stopped", []) for number in range(9)]
    trials = [make(number, 10 ** (-4 + 3 * number / 29)) for number in range(30)]
    proposer = Proposer(space({"sampler": {"type": "tpe", "startup_trials": 5}}))
    for number in range(40, 45):
        assert next(proposer.proposals(trials + unscored, number)) == next(proposer.proposals(trials, number))


def test_trials_side_by_side_spread() -> None:
    def make(number: int, lr: float) -> Trial:
        return trial(number, lr, "stopped", [1 - abs(math.log10(lr) + 2.5)])

    def nearest(running: list[Trial]) -> float:
        trials = [make(number, 10 ** (-4 + 3 * number / 29)) for number in range(30)] + running
        proposer = Proposer(space({"sampler": {"type": "tpe", "startup_trials": 5}}))
        drawn = [next(proposer.proposals(trials, number)).params["optim.lr"] for number in range(40, 65)]
        return sum(abs(math.log10(lr) + 2.5) for lr in drawn) / len(drawn)

    waiting = [trial(30 + number, 10 ** (-2.5 + number / 100), "running", []) for number in range(-4, 5)]
    assert nearest(waiting) > 1.2 * nearest([])


def test_a_member_of_a_population_teaches_what_it_was_asked_with() -> None:
    member = trial(4, 1e-3, "finished", [0.1, 0.2, 0.9])
    member.adoptions.append(Adopted(trial=4, rung=1, source=2, params={**member.params, "optim.lr": 5e-2}, at=0.0))
    assert member.params["optim.lr"] == 5e-2
    assert shown(member, Order("max")) == Shown("pruned", ((0, 0.1), (1, 0.2)))
    [found] = StudyView(space().search, Order("max")).study([member], optuna.samplers.RandomSampler()).get_trials(deepcopy=False)
    assert found.params["optim.lr"] == 1e-3


@pytest.mark.parametrize(
    "sampler", [{"type": "gp", "startup_trials": 4}, {"type": "nsga2", "population": 8}], ids=lambda one: one["type"]
)
def test_who_looks_at_finished_trials_alone_learns_from_those_that_were_stopped(sampler: dict[str, Any]) -> None:
    """The better half is above 1e-2.5: promoted, scored higher; two diverge at the end that is bad."""
    trials = [trial(number, 10 ** (-4 + number / 4), "stopped", [number / 20]) for number in range(8)]
    trials += [trial(number, 10 ** (-2 + (number - 8) / 4), "running", [0.5, 0.5 + number / 100]) for number in range(8, 12)]
    trials += [trial(number, 10 ** (-4 + number / 100), "diverged", []) for number in (12, 13)]
    shown = list(Proposer(space({"sampler": sampler}))._view.study(trials, RandomSampler()).get_trials(deepcopy=False))
    assert {one.state.name for one in shown} == {"COMPLETE"}
    order = sorted(shown, key=lambda one: -one.values[0])
    assert [one.number for one in order[:12]] == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0], "by rung, then by score"
    assert order[12].values == order[13].values
    assert sum(one.values[0] for one in shown) == pytest.approx(0.0, abs=0.2)
    before = Proposer(space({"sampler": sampler}), rules=4)._view.study(trials, RandomSampler())
    assert not before.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)), "as sweeps that began before go on"


def test_a_gaussian_process_learns_under_early_stopping() -> None:
    proposer = Proposer(space({"sampler": {"type": "gp", "startup_trials": 8}}))
    trials = [trial(number, 10 ** (-4 + 3 * number / 9), "stopped", [number / 20]) for number in range(10)]
    assert next(proposer.proposals(trials, 10)).params["optim.lr"] > 10**-1.5
