"""A knob's `prior`: what may stand there, how values near it are drawn, and that a sweep recovers from a wrong one."""

import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from search_simulator import LegOrder, Simulator, cost_of, curve
from space_cases import demo, load

from trm.errors import ConfigError
from trm.search.asking.beliefs import BELIEVED_SHARE, MixedProposer
from trm.search.asking.proposals import Proposer
from trm.search.findings.replay import replay
from trm.search.journal.journal import read_events
from trm.search.journal.trial import Trial
from trm.search.knobs.belief import Belief
from trm.search.knobs.knobs import Knob, at_share
from trm.search.knobs.neighbourhood import log_density, neighbourhood
from trm.search.planning.survey import Survey
from trm.search.planning.unasked import unasked_lines
from trm.search.search import Search
from trm.search.space.enumeration import random_params
from trm.search.space.space import SearchSpace

KNOBS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "int", "low": 1, "high": 9}, 4),
    ({"type": "int", "low": 2, "high": 20, "step": 3}, 20),
    ({"type": "int", "low": 1, "high": 64, "log": True}, 8),
    ({"type": "float", "low": 1e-4, "high": 1e-2, "log": True}, 1e-3),
    ({"type": "float", "low": -1.0, "high": 3.0}, -1.0),
    ({"type": "float", "low": 2.0, "high": 2.0}, 2.0),
    ({"type": "choice", "values": [256, 32, 64]}, 32),
    ({"type": "choice", "values": [None, "cgar", True]}, None),
]
BELIEFS: dict[str, Any] = {
    "search": {
        "model.hidden_size": {"prior": 64},
        "model.H_cycles": {"prior": 2},
        "optim.lr": {"prior": {"at": 1e-3, "confidence": "high"}},
    }
}


def knob(values: dict[str, Any]) -> Knob:
    made: Knob = TypeAdapter(Knob).validate_python(values)
    return made


@pytest.mark.parametrize(("values", "around"), KNOBS)
def test_values_near_one_are_the_knobs_and_come_as_often_as_their_density_says(values: dict[str, Any], around: Any) -> None:
    one = knob(values)
    near, count = neighbourhood(one, around, 0.25), 4000
    drawn = [near.value((index + 0.5) / count) for index in range(count)]
    evenly = [at_share(one, (index + 0.5) / count) for index in range(count)]
    assert all(map(one.contains, drawn))
    assert near.density(around) >= max(map(near.density, evenly))
    assert sum(map(near.density, evenly)) / count == pytest.approx(1.0, rel=0.02)
    share = sum(near.density(value) for value in evenly if value == around) / count
    assert values["type"] == "float" or drawn.count(around) / count == pytest.approx(share, abs=0.01)
    assert neighbourhood(one, around, 0.125).density(around) > near.density(around) or one.count == 1


def test_a_prior_is_a_value_or_a_value_with_a_confidence(tmp_path: Path) -> None:
    search = load(tmp_path, BELIEFS, "search.model.mlp_t.prior=false").search
    assert search["optim.lr"].prior == Belief(at=1e-3, confidence="high")
    assert search["model.H_cycles"].prior == Belief(at=2, confidence="medium")
    assert search["model.mlp_t"].prior == Belief(at=False)
    assert search["model.pos_encodings"].prior is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "search.optim.lr.prior=1",
            r"search.optim.lr: prior must be a value of the knob, of 0.0003 .. 0.004, got 1; give one of them$",
        ),
        ("search.model.H_cycles.prior=1.5", r"prior must be a value of the knob, of 1 .. 3, got 1.5"),
        ("search.model.hidden_size.prior=48", r"prior must be a value of the knob, of 32, 64, got 48"),
        ("search.optim.lr.prior={at: 1e-3, confidence: sure}", r"prior.confidence must be one of low, medium, high, got 'sure'"),
        ("search.optim.lr.prior={confidence: low}", r"search.optim.lr.prior.at is required and missing"),
        (
            "sampler=qmc",
            r"search.model.hidden_size.prior says where .* and sampler qmc asks .*; drop it, or take sampler tpe, surr",
        ),
        ("sampler=nsga2", r"and sampler nsga2 asks"),
    ],
)
def test_what_is_wrong_with_a_prior_is_said(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, BELIEFS, override)


def test_a_space_without_priors_is_known_by_the_digest_of_before_there_were_any() -> None:
    assert demo().frozen_digest() == "3b67a1c647e5e4ba"
    assert demo(BELIEFS).frozen_digest() != demo().frozen_digest()


def test_the_first_trial_has_what_is_believed_in(tmp_path: Path) -> None:
    space = load(tmp_path, {**BELIEFS, "base": {"optim": {"lr": 2e-3}}})
    (tmp_path / "sweep").mkdir()
    first = Simulator(space, tmp_path / "sweep", slots=1).run().search.state.trials[0].asked
    assert (first.source, first.params["optim.lr"], first.params["model.H_cycles"]) == ("base", 1e-3, 2)
    assert unasked_lines(Survey(space, cost_of))[0].startswith("the base with the value of every prior is a trial")


@pytest.mark.parametrize("changes", [{}, {"objective": {"against": ["params"]}}, {"sampler": {"type": "surrogate"}}], ids=str)
def test_a_sweep_with_beliefs_replays_and_draws_near_them(changes: dict[str, Any], tmp_path: Path) -> None:
    space = load(tmp_path, {**BELIEFS, **changes})
    (tmp_path / "sweep").mkdir()
    trials = Simulator(space, tmp_path / "sweep").run().search.state.trials
    events = [entry.event for entry in read_events(tmp_path / "sweep" / "journal.jsonl")]
    assert replay(Search(space, cost_of, folder="data"), events).trials == len(trials)
    sources = {trial.asked.source for trial in trials}
    assert {"base", "belief", "sampler"} <= sources
    assert not (space.sampler.moves_from_best and "near_best" in sources)
    near = {path: neighbourhood(one, one.prior.at, one.prior.width) for path, one in space.search.items() if one.prior}
    even = random.Random(0)
    draws = [log_density(near, random_params(space, even)) for _ in range(500)]
    assert sum(log_density(near, trial.params) for trial in trials) / len(trials) > sum(draws) / len(draws)


def trials_after(space: SearchSpace, folder: Path, outcome: Callable[[LegOrder], dict[str, Any]] = curve) -> list[Trial]:
    folder.mkdir()
    return Simulator(space, folder, outcome, slots=1).run().search.state.trials


def test_a_wrong_belief_gives_way_and_a_right_one_stays(tmp_path: Path) -> None:
    wide, shares = {"low": 1e-5, "high": 1e-1}, {}
    for lr, cycles in ((1e-3, 3), (8e-2, 1)):  # the best is at the first, three quarters are lost at the other
        believed = {"optim.lr": {**wide, "prior": lr}, "model.H_cycles": {"prior": cycles}}
        space = load(tmp_path, {"search": believed, "sampler": {"type": "random"}})
        proposer, trials = MixedProposer(space), trials_after(space, tmp_path / f"{cycles}")
        shares[cycles] = [proposer.shares(*proposer.ranked(trials[:count])).belief for count in range(len(trials) + 1)]
        assert shares[cycles][:2] == [BELIEVED_SHARE] * 2, "nothing is known yet"
    assert min(shares[3]) > 0.4 * BELIEVED_SHARE
    assert max(shares[1][2:]) < 0.1 * BELIEVED_SHARE


def test_what_nothing_is_believed_of_is_as_the_sampler_chooses(tmp_path: Path) -> None:
    space = load(tmp_path, {"search": {"optim.lr": {"prior": 1e-3}}})
    plain, mixed = (islice(kind(space).proposals([], 3), 60) for kind in (Proposer, MixedProposer))
    sampled = [one.params for one in plain]
    drawn = [one.params for one in mixed]
    assert [one | {"optim.lr": 0} for one in drawn] == [one | {"optim.lr": 0} for one in sampled]
    believed = sum(one != other for one, other in zip(drawn, sampled, strict=True))
    assert believed / len(drawn) == pytest.approx(BELIEVED_SHARE, abs=0.15)


def test_only_a_few_trials_decide_however_many_there_are(tmp_path: Path) -> None:
    space = load(tmp_path, BELIEFS)
    proposer, trials = MixedProposer(space), trials_after(space, tmp_path / "sweep")
    best, count = proposer.ranked(trials * 200)
    assert (len(best), count) == (10, 200 * len(trials))
    assert best[0] == max(trials, key=lambda trial: (trial.rung, trial.score.objective)).params  # type: ignore[union-attr]
