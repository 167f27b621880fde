"""A rehearsed sweep is the sweep: with the same scores it makes the same legs, from its start and from every moment of it."""

import random
from collections import Counter
from pathlib import Path

import pytest
from search_simulator import LegOrder, Simulator, cost_of
from sweep_cases import events_of, space

from trm.search.journal.events import Decided, LegStarted
from trm.search.order import Score
from trm.search.planning.drawn_scores import Curve, DrawnScores, Result, climb_of
from trm.search.planning.forecast import forecast
from trm.search.planning.rehearsal import Costs, Rehearsal, Setting, Standing
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.search import Search
from trm.search.space.candidates import Facts, scheduler_of
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

TRIALS = 10
SCHEDULERS = {
    "asha": {"type": "asha", "eta": 3, "rungs": 3},
    "front": {"type": "asha", "eta": 2, "rungs": 2},
    "stops": {"type": "asha", "eta": 2, "rungs": 3, "promotes": False},
    "halving": {"type": "successive_halving", "eta": 2, "rungs": 3, "cohort": 6},
    "hyperband": {"type": "hyperband", "eta": 3, "rungs": 3},
    "median": {"type": "median", "rungs": 3, "min_trials": 3},
}
AGAINST = {"front": [{"metric": "params"}, {"metric": "inference_flops"}]}


def result(trial: int, rung: int) -> Result:
    """What a trial comes to at a rung, whoever asks: crowded, so that standard errors and zeros count."""
    quality = derived_seed(trial, "quality", bits=20) / 2**20
    noise = derived_seed(trial, "noise", rung, bits=20) / 2**20
    objective = max(0.0, round(quality * (rung + 1) / 3 + 0.1 * noise - 0.1, 2))
    return Result(objective, 0.05, 2 - quality + noise / 10)


class Known(DrawnScores):
    """Scores that the sweep itself got."""

    def __init__(self) -> None:
        pass

    def result(self, trial: int, rung: int, share: float) -> Result:
        return result(trial, rung)


def outcome(order: LegOrder) -> dict[str, object]:
    return {"status": "completed", **vars(result(order.trial, order.rung))}


def played(search: Search, standing: Standing, whole: Search) -> Counter[int]:
    """Trials scored at each rung in what is rehearsed from there, when the trials come that the sweep asked for."""
    setting = Setting(
        search.state.space, scheduler_of(search.state.space), search.state.order, 2, Costs(search.state.rungs, Speeds())
    )
    coming = [trial.asked for trial in whole.state.trials[standing.asked :]]
    seen = Rehearsal(setting, standing, coming, Known()).play()
    return Counter({rung: int(count) for rung, count in enumerate(seen.scored)})


def reached(search: Search) -> Counter[int]:
    return Counter(rung for trial in search.state.trials for rung in trial.results)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_rehearsal_ends_where_the_sweep_ends_from_every_moment_of_it(name: str, tmp_path: Path) -> None:
    values = space({"budget": {"trials": TRIALS}}).model_dump(mode="json")
    values |= {"scheduler": SCHEDULERS[name], "objective": {"metric": "exact_accuracy", "against": AGAINST.get(name, [])}}
    demo = SearchSpace.model_validate(values)
    whole = Simulator(demo, tmp_path, outcome=outcome, flops_per_second=1.0, now=0.0).run().search
    search, rehearsed = Search(demo, cost_of, folder="data"), 0
    for event in events_of(tmp_path):
        search.state.apply(event)
        if not isinstance(event, LegStarted | Decided) or search.state.ended is not None or search.due_decisions(event.at):
            continue
        done = {leg.trial: event.at - leg.at for leg in search.state.open_legs}
        standing = Standing.of(search.state, done).copied()
        assert reached(search) + played(search, standing, whole) == reached(whole), event
        rehearsed += 1
    assert rehearsed > TRIALS
    assert played(search, Standing(), whole) == reached(whole)


def test_drawn_curves_rise_late_and_seen_scores_are_repeated() -> None:
    generator, order = random.Random(1), Search(space(), cost_of).state.order
    curves = [Curve.drawn(generator) for _ in range(400)]
    early, late = ([one.at(share, 200, generator) for one in curves] for share in (1 / 27, 1.0))
    assert sum(one.objective == 0 for one in early) > 100
    assert 0.3 < sum(one.objective for one in late) / 400 < 0.8
    assert all(0 <= one.objective <= 1 and one.standard_error > 0 for one in early + late)
    seen = [Score(0, 7.0, 0.0, 9.0, "")] * 3
    assert DrawnScores(order, [seen], 200, generator).result(0, 0, 1.0) == Result(7.0, 0.0, 9.0)
    assert DrawnScores(order, [seen[:2]], 200, generator).result(0, 0, 1.0).objective <= 1, "two are too few to be like"
    nothing = [Score(trial, 0.0, 0.01, 2.0 + trial, "") for trial in range(5)]
    drawn = [DrawnScores(order, [nothing], 200, generator).result(0, 0, 1.0) for _ in range(50)]
    assert all(one.objective == 0 for one in drawn)
    assert len({one.loss for one in drawn}) == 50


@pytest.mark.parametrize(("climb", "better_half"), [(1.0, 0.5), (2.0, 0.75), (3.0, 0.875)])
def test_a_new_trial_stands_as_the_best_of_so_many_equals_and_a_sweep_says_how_many(climb: float, better_half: float) -> None:
    generator, order = random.Random(2), Search(space(), cost_of).state.order
    seen = [Score(trial, 1 + trial / 100, 0.0, 1.0, "") for trial in range(99)]
    drawn = [DrawnScores(order, [seen], 200, generator, climb=climb).result(0, 0, 1.0).objective for _ in range(2000)]
    assert sum(one > 1.49 for one in drawn) / 2000 == pytest.approx(better_half, abs=0.03)
    scores = DrawnScores(order, [seen[:3]], 200, generator, climb=climb)
    played = [Score(trial, scores.result(trial, 0, 1.0).objective, 0.0, 1.0, "") for trial in range(600)]
    assert climb_of(order, played, 2.0) == pytest.approx(climb, rel=0.15)
    assert climb_of(order, played[:5], 2.0) == 2.0, "too few to correct it"
    assert climb_of(order, played, 1.0) == 1.0, "its sampler does not learn"


def test_of_trials_that_climb_more_go_on() -> None:
    def train_flops(sampler: str) -> tuple[float, tuple[float, float]]:
        values = space({"budget": {"trials": 30, "per_trial": 1e14}, "sampler": {"type": sampler}}).model_dump(mode="json")
        values |= {"scheduler": {"type": "asha", "eta": 2, "rungs": 3}}
        found = forecast(Survey(SearchSpace.model_validate(values), cost_of, Facts()), slots=1).expected
        return found.train_flops, found.train_flops_range

    (random_flops, _), (tpe_flops, (low, high)) = train_flops("random"), train_flops("tpe")
    assert tpe_flops > 1.03 * random_flops
    assert 0.6 * tpe_flops < low < tpe_flops < high < 1.6 * tpe_flops
