"""What a trial uses is what is shown, stored and compared: caps by its length, and values that make no difference."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from search_simulator import Simulator, cost_of
from space_cases import DEMO, demo
from sweep_cases import events_of

from trm.config.optimizers import CONSTANT_COSINE, AdamATan2Config
from trm.optim.averaging import WeightAverage
from trm.search.findings.replay import replay
from trm.search.findings.tables import leaderboard_rows, write_trials
from trm.search.journal.events import Asked, SweepStarted
from trm.search.planning.preflight import preflight
from trm.search.planning.survey import Survey
from trm.search.search import Search
from trm.search.space import candidates
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.resolution import largest_rate, overruled
from trm.search.space.space import SearchSpace
from trm.tracking.updates import updates_of

STEPS = 2000
WARMUPS = {"type": "choice", "values": [10, 50, 100, 200]}
RATES = {"type": "choice", "values": [0.9, 0.99, 0.999, 0.9999]}


def space(search: dict[str, Any], **sections: Any) -> SearchSpace:
    """A sweep in which every trial is `STEPS` steps long."""
    budget = {"trials": 40, "per_trial": STEPS}
    values = {**DEMO, "search": search, "constraints": [], "fidelity": "steps", "budget": budget, "scheduler": {"type": "none"}}
    return SearchSpace.model_validate({**values, **sections})


def resolved(made: SearchSpace, **params: Any) -> Candidate:
    found = Resolver(made, cost_of).resolve({path.replace("__", "."): value for path, value in params.items()})
    assert isinstance(found, Candidate)
    return found


def digests(made: SearchSpace, path: str) -> dict[Any, str]:
    return {value: resolved(made, **{path.replace(".", "__"): value}).digest for value in made.search[path].values_in_order}


def groups(found: dict[Any, str]) -> list[list[Any]]:
    return [[value for value, other in found.items() if other == digest] for digest in dict.fromkeys(found.values())]


def test_a_capped_average_is_one_run_and_is_shown_as_it_is() -> None:
    made = space({"optim.ema_rate": RATES})
    assert groups(digests(made, "optim.ema_rate")) == [[0.9], [0.99], [0.999, 0.9999]]
    cap = 2001 / 2010
    assert [resolved(made, optim__ema_rate=rate).used for rate in (0.99, 0.999)] == [{}, {"optim.ema_rate": cap}]
    average = WeightAverage([], rate=0.999, warmup=True)
    optim = AdamATan2Config(ema_rate=0.999, ema_warmup=True)
    assert max(average.rate_at(step) for step in range(1, STEPS + 1)) == largest_rate(optim, STEPS) == cap


def test_a_capped_warm_up_is_one_run_and_is_shown_as_it_is() -> None:
    made = space({"optim.lr_warmup_steps": WARMUPS})
    assert groups(digests(made, "optim.lr_warmup_steps")) == [[10], [50], [100, 200]]
    assert resolved(made, optim__lr_warmup_steps=200).used == {"optim.lr_warmup_steps": 60}


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        ("model.forward_dtype", ["auto", "float32", "tf32", "bfloat16"], [["auto", "float32", "tf32"], ["bfloat16"]]),
        ("training.loss_dtype", ["auto", "float32", "float64"], [["auto", "float64"], ["float32"]]),
        ("training.kernels", ["auto", "plain"], [["auto", "plain"]]),
        ("training.compile", [False, "auto", True], [[False, "auto", True]]),
        ("evaluation.batch_size", [None, 16, 64], [[None, 16, 64]]),
        ("evaluation.reports_halted", [False, True], [[False, True]]),
        ("evaluation.steps", [None, 4, 8], [[None, 8], [4]]),
        ("optim.ema_warmup", [True, False], [[True], [False]]),
    ],
)
def test_values_that_make_no_difference_are_one_run(path: str, values: list[Any], expected: list[list[Any]]) -> None:
    made = space({path: {"type": "choice", "values": values}})
    assert groups(digests(made, path)) == expected
    shown = [", ".join({None: "null", True: "true", False: "false"}.get(one, str(one)) for one in group) for group in expected]
    told = [f"search.{path}: {group} are one run, whatever the other knobs are" for group in shown if ", " in group]
    assert [note for note in preflight(Survey(made, cost_of)).notes if "search." in note] == told


def test_what_is_timed_tells_them_apart() -> None:
    made = space({"training.compile": {"type": "choice", "values": [False, True]}}, objective={"against": ["latency_seconds"]})
    assert groups(digests(made, "training.compile")) == [[False], [True]]


def test_a_gpu_resolves_types_otherwise() -> None:
    search = {"model.forward_dtype": {"type": "choice", "values": ["auto", "bfloat16", "tf32", "float32"]}}
    made = space(search, resources={"gpus": 1})
    assert groups(digests(made, "model.forward_dtype")) == [["auto", "bfloat16"], ["tf32"], ["float32"]]


def test_what_the_base_says_in_vain_is_told_before_the_start() -> None:
    base = {**DEMO["base"], "optim": {"ema_warmup": False}, "training": {"epochs": 3.0, "eval_every_steps": 7}}
    notes = preflight(Survey(demo({"base": base}), cost_of)).notes
    assert [note.partition(":")[0] for note in notes] == [
        "base.training.epochs 3 is not followed",
        "base.training.eval_every_steps 7 is not followed",
        "base.optim.ema_warmup is false",
    ]


@pytest.mark.parametrize(
    ("optim", "searched", "is_told"),
    [
        ({}, {}, False),
        ({"schedule": "cosine"}, {}, True),
        ({"schedule": "cosine", "lr_min_ratio": 0.1}, {}, False),
        ({"schedule": "linear"}, {}, False),
        ({}, {"optim.schedule": ["constant", "cosine"]}, True),
        ({"schedule": "cosine"}, {"optim.schedule": ["constant", "linear"]}, False),
        ({}, {"optim.schedule": ["constant", "cosine"], "optim.lr_min_ratio": [0.1, 1.0]}, False),
    ],
)
def test_a_cosine_that_is_a_constant_is_told(optim: dict[str, Any], searched: dict[str, list[Any]], is_told: bool) -> None:
    made = space({path: {"type": "choice", "values": values} for path, values in (searched or {"optim.ema": [True]}).items()})
    assert (CONSTANT_COSINE in overruled(made.model_copy(update={"base": {**made.base, "optim": optim}}))) == is_told


def test_a_sweep_pays_for_a_run_once_and_shows_what_it_used(tmp_path: Path) -> None:
    made = space({"optim.ema_rate": RATES, "optim.lr_warmup_steps": WARMUPS})
    search = Simulator(made, tmp_path).run().search
    assert len(search.state.trials) == 9, "three rates by three warm-ups"
    write_trials(search.state, tmp_path)
    rows = pq.read_table(tmp_path / "trials.parquet").to_pylist()
    pairs = {(round(row["optim.ema_rate"], 4), row["optim.lr_warmup_steps"]) for row in rows}
    assert pairs == {(rate, warmup) for rate in (0.9, 0.99, 0.9955) for warmup in (10, 50, 60)}
    assert {row["parameters"]["optim.lr_warmup_steps"] for row in leaderboard_rows(search.state)} == {10, 50, 60}
    asked = [event for event in events_of(tmp_path) if isinstance(event, Asked)]
    told = [update.params for event in asked for update in updates_of(search.state, event) if update.params]
    assert {params["optim.lr_warmup_steps"] for params in told} == {"10", "50", "60"}
    assert replay(Search(made, cost_of), events_of(tmp_path)).trials == 9


def test_a_base_that_averages_plainly_is_followed() -> None:
    made = space({"optim.ema_rate": RATES}, base={**DEMO["base"], "optim": {"ema_warmup": False}})
    assert groups(digests(made, "optim.ema_rate")) == [[0.9], [0.99], [0.999], [0.9999]]
    assert not resolved(made, optim__ema_rate=0.9).config.optim.ema_warmup


def test_a_sweep_of_an_earlier_version_goes_on_by_its_own_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = space({"optim.ema_rate": RATES}, base={**DEMO["base"], "optim": {"ema_warmup": False}})
    monkeypatch.setattr(candidates, "RULES", 1)
    then = Simulator(made.model_copy(update={"budget": made.budget.model_copy(update={"trials": 2})}), tmp_path)
    then.run()
    monkeypatch.undo()
    journal = tmp_path / "journal.jsonl"
    assert SweepStarted.model_fields["rules"].default == 1, "a journal that says nothing began by the first rules"
    assert '"rules":1' in journal.read_text()
    now = Simulator(made, tmp_path, now=then.now + 10)
    search = now.run().search
    assert len(search.state.trials) == 4
    assert all(order.config.optim.ema_warmup for order in now.orders), "as its first trials had it"
    assert replay(Search(made, cost_of), events_of(tmp_path)).trials == 4
