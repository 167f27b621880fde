"""What more search would bring: a bound that is told with what a seed does, after twenty trials and for one objective."""

import json
from pathlib import Path
from typing import Any

import pytest
from search_simulator import LegOrder, Simulator
from space_cases import load

from trm.search.findings.more_search import MoreSearch, more_search, seed_deviation
from trm.search.findings.tables import LEADERBOARD, write_leaderboard
from trm.search.state import SweepState

TWO_KNOBS: dict[str, Any] = {
    "search": {
        "model.mlp_t": None,
        "model.pos_encodings": None,
        "model.hidden_size": None,
        "model.H_cycles": None,
        "optim.weight_decay": {"type": "choice", "values": [0.3, 0.1, 0.2]},
    },
    "budget": {"trials": 20},
    "scheduler": {"rungs": 1},
}


def hill(order: LegOrder) -> dict[str, Any]:
    """Best at a rate of 1e-3 and a decay of 0.2; a seed moves it by a hundredth."""
    config = order.config
    height = 0.8 - abs(config.optim.weight_decay - 0.2) - 200 * abs(config.optim.lr - 1e-3)
    return {
        "status": "completed",
        "objective": round(max(0.0, height) + 0.01 * (config.seed % 3 - 1), 6),
        "standard_error": 0.01,
        "loss": 1 - height,
    }


def swept(folder: Path, *overrides: str) -> SweepState:
    folder.mkdir()
    return Simulator(load(folder, TWO_KNOBS, *overrides), folder, outcome=hill, slots=1).run().search.state


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> SweepState:
    return swept(tmp_path_factory.mktemp("more") / "sweep")


def test_after_twenty_trials_it_is_said_how_much_better_the_best_may_be(state: SweepState, tmp_path: Path) -> None:
    found = more_search(state)
    assert found is not None
    assert 0 < found.possible < 0.5
    assert found.seed == pytest.approx(0.01, abs=0.01)
    assert found.sentence.startswith("the best of this space may be better by up to") != (found.pays is False)
    write_leaderboard(state, tmp_path, more=found.values)
    assert json.loads((tmp_path / LEADERBOARD).read_text())["more_search"]["pays"] == found.pays


def test_few_trials_fronts_and_earlier_sweeps_are_told_nothing(state: SweepState, tmp_path: Path) -> None:
    assert more_search(swept(tmp_path / "few", "budget.trials=19")) is None
    assert more_search(swept(tmp_path / "front", "objective.against=[params]")) is None
    state.resolver.rules = 4
    assert more_search(state) is None
    state.resolver.rules = 5


def test_a_seed_is_known_by_configurations_that_were_trained_twice(tmp_path: Path) -> None:
    assert seed_deviation(swept(tmp_path / "once", "confirm=null")) is None
    several = seed_deviation(swept(tmp_path / "several", "replicates=2"))
    assert several is not None
    assert 0 < several < 0.03


def test_it_is_called_over_only_below_what_a_seed_does() -> None:
    assert (MoreSearch("accuracy", 0.05, 0.09).pays, MoreSearch("accuracy", 0.2, 0.09).pays) == (False, True)
    assert "more search is not expected to pay" in MoreSearch("accuracy", 0.05, 0.09).sentence
    assert MoreSearch("accuracy", 0.05, None).sentence.endswith("0.05 accuracy (an estimate)")
