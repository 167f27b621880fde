"""What mattered: the knob that moves the objective comes first, depth where it alone counts; chance is not taken for merit."""

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_simulator import LegOrder, Simulator, cost_of

from tests.pictures.test_pictures import size_of
from trm.pictures.canvas import picture
from trm.pictures.importance import draw_bars, draw_map
from trm.search.findings.importance import LEAST_TRIALS, Importance, importance, sentence, write_importance
from trm.search.journal.events import Asked, Event, LegEnded, LegStarted
from trm.search.search import Search
from trm.search.space.enumeration import random_params
from trm.search.space.space import SearchSpace

SPACE: dict[str, Any] = {
    "name": "demo",
    "data": {"recipe": "x.yaml"},
    "base": {"model": {"num_heads": 2, "L_layers": 2}},
    "search": {
        "model.H_cycles": {"type": "int", "low": 1, "high": 3},
        "model.L_cycles": {"type": "int", "low": 1, "high": 6},
        "model.hidden_size": {"type": "choice", "values": [32, 64]},
        "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "optim.weight_decay": {"type": "float", "low": 1e-2, "high": 1.0, "log": True},
    },
    "budget": {"trials": 1000, "per_trial": 1e13},
}
Objective = Callable[[Mapping[str, Any], float], float]


def scored(objective: Objective, trials: int, *, later: int = 0, space: Mapping[str, Any] = SPACE, seed: int = 0) -> Search:
    """A search with so many random trials at rung 0, the first `later` of them at rung 1 too; noise is of sigma 1."""
    search = Search(SearchSpace.model_validate(space), cost_of)
    draw = random.Random(seed)
    for number in range(trials):
        params = random_params(search.state.space, draw)
        cost = cost_of(search.state.space.run_config(params, seed=0))
        events: list[Event] = [
            Asked(
                trial=number,
                params=params,
                source="sampler",
                digest=str(number),
                seed=number,
                max_steps=900,
                step_flops=cost.step_flops,
                params_count=cost.params_count,
                at=1.0,
            )
        ]
        for rung in range(2 if number < later else 1):
            value = objective(params, draw.gauss(0, 1))
            events += [
                LegStarted(trial=number, rung=rung, attempt=0, until_steps=100 * (rung + 1), from_checkpoint=None, at=1.0),
                LegEnded(trial=number, rung=rung, attempt=0, status="completed", objective=value, loss=1.0, steps=100, at=2.0),
            ]
        for event in events:
            search.state.apply(event)
    return search


def about_lr(params: Mapping[str, Any], noise: float) -> float:
    return 0.5 - 0.2 * abs(math.log10(params["optim.lr"]) + 3) + 0.01 * noise


def about_depth(params: Mapping[str, Any], noise: float) -> float:
    return 0.01 * params["model.H_cycles"] * (params["model.L_cycles"] + 1) + 0.005 * noise


def names(found: Importance) -> list[str]:
    assert found.told is not None
    return [axis.name for axis in found.told.axes]


@pytest.mark.parametrize("seed", range(5))
def test_the_knob_that_moves_the_objective_comes_first(seed: int) -> None:
    found = importance(scored(about_lr, 40, seed=seed).state)
    assert names(found)[0] == "optim.lr"
    assert found.told is not None
    lr = found.told.axes[0]
    assert lr.importance > 0.6
    assert lr.probability >= 0.99
    assert lr.trials == 40
    assert all(0 <= axis.importance <= lr.importance for axis in found.told.axes)


@pytest.mark.parametrize("seed", range(5))
def test_depth_comes_before_the_knobs_that_make_it_where_it_alone_counts(seed: int) -> None:
    assert names(importance(scored(about_depth, 60, seed=seed).state))[0] == "effective_depth"


def test_what_chance_shows_is_seldom_called_clear() -> None:
    every = [axis for seed in range(6) for axis in _axes(importance(scored(lambda params, noise: noise, 15, seed=seed).state))]
    assert sum(axis.is_clear for axis in every) <= 0.05 * len(every)


def _axes(found: Importance) -> Any:
    assert found.told is not None
    return found.told.axes


def test_the_words_name_what_is_clear_and_nothing_else() -> None:
    said = sentence(importance(scored(about_lr, 40).state))
    assert said is not None
    assert said.startswith("what mattered among 40 trials at rung 0: optim.lr (")
    assert "weight_decay" not in said
    assert sentence(importance(scored(about_lr, LEAST_TRIALS - 1).state)) is None
    nothing = sentence(importance(scored(lambda params, noise: 0.0, 20).state))
    assert nothing == "what mattered cannot be told: the 20 trials of rung 0 differ in nothing, or score the same"


@pytest.mark.parametrize("trials", [16, 30, 50])
def test_the_names_and_the_shares_come_from_one_test(trials: int) -> None:
    """A switch that decides everything comes first with most of the share; what is no more than chance comes last with none."""
    switch = {"model.mlp_t": {"type": "choice", "values": [True, False]}}
    space = SPACE | {"base": {"model": {"pos_encodings": "none"}}, "search": switch | SPACE["search"]}
    del space["search"]["model.hidden_size"]  # with it, parameters differ by more than the switch
    named = 0
    for seed in range(5):
        search = scored(lambda params, noise: 0.5 * params["model.mlp_t"] + 0.02 * abs(noise), trials, space=space, seed=seed)
        found = importance(search.state)
        axes = [axis for axis in _axes(found) if axis.kind == "knob"]
        assert axes[0].name == "model.mlp_t"
        assert axes[0].importance > 0.4
        assert axes[0].probability > 0.8
        assert [axis.importance for axis in axes] == sorted((axis.importance for axis in axes), reverse=True)
        assert all((axis.importance > 0) == (axis.probability > 0.5) for axis in axes)
        assert (sentence(found) or "").startswith(f"what mattered among {trials} trials at rung 0: model.mlp_t (")
        named += sum(axis.is_clear for axis in axes[1:])
    assert named <= 1  # of 20


def test_a_knob_of_some_trials_is_compared_among_these() -> None:
    """num_heads means nothing here; that it is there only without mlp_t, which decides everything, gives it no merit."""
    space = SPACE | {
        "base": {"model": {"pos_encodings": "none", "hidden_size": 64}},
        "search": {
            "model.mlp_t": {"type": "choice", "values": [True, False]},
            "model.num_heads": {"type": "choice", "values": [1, 2, 4], "when": {"model.mlp_t": False}},
        },
    }
    for seed in range(4):
        found = importance(scored(lambda params, noise: params["model.mlp_t"] + 0.1 * noise, 50, space=space, seed=seed).state)
        shares = {axis.name: axis.importance for axis in _axes(found)}
        assert shares["model.mlp_t"] > 0.6
        assert shares["model.num_heads"] < 0.1


def test_a_value_that_a_sampler_came_to_prefer_has_no_merit_by_that() -> None:
    """A rate gets better with time, and one of two values without merit more common: as under any sampler that learns."""
    named = 0
    for seed in range(8):
        search, draw = scored(lambda params, noise: 0.0, 48, seed=seed), random.Random(seed)
        for trial in search.state.trials:
            exponent = -4.0 + min(1.0, trial.number / 40) + 0.3 * draw.gauss(0, 1)
            trial.asked.params["optim.lr"] = min(1e-2, max(1e-4, 10**exponent))
            value = about_lr(trial.asked.params, draw.gauss(0, 1))
            trial.scores[0] = replace(trial.scores[0], objective=value)
            trial.asked.params["model.hidden_size"] = 64 if draw.random() < trial.number / 48 else 32
        axes = {axis.name: axis for axis in _axes(importance(search.state))}
        assert axes["optim.lr"].is_clear
        named += axes["model.hidden_size"].is_clear
    assert named <= 1  # with the groups of one axis compared alone: 6


def test_loss_tells_where_every_trial_scores_zero() -> None:
    search = scored(lambda params, noise: 0.0, 30)
    for trial in search.state.trials:
        loss = abs(math.log10(trial.params["optim.lr"]) + 3)
        trial.scores[0] = replace(trial.scores[0], loss=loss)
    assert names(importance(search.state))[0] == "optim.lr"


def test_the_rung_that_most_trials_reached_tells_and_going_on_is_no_merit() -> None:
    """All that reached rung 1 score high there, whatever their knobs: only rung 0 compares like with like."""
    found = importance(scored(about_lr, 36, later=12).state)
    assert [(one.rung, one.trials) for one in found.rungs] == [(0, 36), (1, 12)]
    assert found.telling == 0
    assert importance(scored(about_lr, 36, later=36).state).telling == 1


def test_trials_that_confirm_others_do_not_count(tmp_path: Path) -> None:
    space = SPACE | {"budget": {"trials": 12, "per_trial": 1e13}, "sampler": "random", "scheduler": "none"}
    search = Simulator(SearchSpace.model_validate(space | {"confirm": {"top": 2, "seeds": 2}}), tmp_path).run().search
    assert len(search.state.trials) > 12
    assert importance(search.state).rungs[0].trials == 12


def test_the_map_counts_trials_and_leaves_out_recursions_that_none_had() -> None:
    search = scored(about_depth, 30)
    told = importance(search.state).told
    assert told is not None
    tried = {(trial.params["model.H_cycles"], trial.params["model.L_cycles"]) for trial in search.state.trials}
    assert {(cell.H_cycles, cell.L_cycles) for cell in told.map} == tried
    assert sum(cell.trials for cell in told.map) == 30
    for cell in told.map:
        inside = [
            trial.results[0].objective
            for trial in search.state.trials
            if (trial.params["model.H_cycles"], trial.params["model.L_cycles"]) == (cell.H_cycles, cell.L_cycles)
        ]
        assert cell.best == max(inside)
        assert cell.mean == pytest.approx(sum(inside) / len(inside))


def test_conditional_knobs_and_every_kind_of_value_are_measured(tmp_path: Path) -> None:
    space = SPACE | {
        "base": {"model": {"pos_encodings": "none", "hidden_size": 64}},
        "search": {
            "model.mlp_t": {"type": "choice", "values": [True, False]},
            "model.num_heads": {"type": "choice", "values": [1, 2, 4], "when": {"model.mlp_t": False}},
            "optim.grad_clip": {"type": "choice", "values": [None, 1]},
            "model.forward_dtype": {"type": "choice", "values": ["auto", "float32"]},
        },
    }
    search = scored(lambda params, noise: float(params["model.mlp_t"]) + 0.01 * noise, 40, space=space)
    found = importance(search.state)
    assert names(found)[0] == "model.mlp_t"
    assert found.told is not None
    heads = next(axis for axis in found.told.axes if axis.name == "model.num_heads")
    assert heads.trials == sum(not trial.params["model.mlp_t"] for trial in search.state.trials)
    draw_bars(found, tmp_path / "importance.png")
    draw_map(found, tmp_path / "depth_map.png")
    assert size_of(tmp_path / "importance.png")[0] > 0


def test_files_are_written_whole_from_a_replayed_sweep(tmp_path: Path) -> None:
    def outcome(order: LegOrder) -> dict[str, Any]:
        value = about_lr({"optim.lr": order.config.optim.lr}, 0.0)
        return {"status": "completed", "objective": value, "standard_error": 0.01, "loss": 1 - value}

    space = SPACE | {"budget": {"trials": 20, "per_trial": 2.7e13}, "sampler": {"type": "random"}}
    (tmp_path / "s").mkdir()
    search = Simulator(SearchSpace.model_validate(space), tmp_path / "s", outcome=outcome).run().search
    folder = tmp_path / "out"
    folder.mkdir()
    found = importance(search.state)
    write_importance(found, folder)
    draw_bars(found, folder / "importance.png")
    draw_map(found, folder / "depth_map.png")
    assert sorted(path.name for path in folder.iterdir()) == ["depth_map.png", "importance.json", "importance.png"]
    written = json.loads((folder / "importance.json").read_text())
    assert written["telling"] == 0
    assert written["rungs"][0]["trials"] == 20
    assert written["rungs"][0]["axes"][0]["name"] == "optim.lr"
    assert all(size_of(folder / name)[0] > 0 for name in ("importance.png", "depth_map.png"))


def test_a_sweep_of_too_few_trials_gets_pictures_that_say_so(tmp_path: Path) -> None:
    found = importance(scored(about_lr, 3).state)
    draw_bars(found, tmp_path / "importance.png")
    draw_map(found, tmp_path / "depth_map.png")
    assert found.rungs == ()
    assert size_of(tmp_path / "depth_map.png")[0] > 0


def test_of_very_many_trials_evenly_spread_ones_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    search = scored(about_lr, 90)
    monkeypatch.setattr("trm.search.findings.importance.MOST_TRIALS", 30)
    found = importance(search.state)
    assert names(found)[0] == "optim.lr"
    assert found.rungs[0].trials == 90
    assert found.rungs[0].axes[0].trials == 30


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    with picture(path, size=(2, 1), title="whole"):
        pass
    before = path.read_bytes()
    with pytest.raises(RuntimeError), picture(path, size=(2, 1), title="torn"):
        raise RuntimeError("half way")
    assert path.read_bytes() == before


def test_depth_is_told_of_whatever_architecture_a_trial_has() -> None:
    architectures = {"type": "choice", "values": ["trm", "single_z", "latents"]}
    knobs = {"model.architecture": architectures, "model.num_latents": {"type": "int", "low": 1, "high": 6}, **SPACE["search"]}
    search = scored(lambda params, noise: params["model.L_cycles"] + noise, 60, space={**SPACE, "search": knobs})
    told = importance(search.state).told
    assert told is not None
    assert {(cell.H_cycles, cell.L_cycles) for cell in told.map} == {
        (trial.asked.params["model.H_cycles"], trial.asked.params["model.L_cycles"]) for trial in search.state.searched
    }
    assert "effective_depth" in {axis.name for axis in told.axes if axis.is_clear}
