"""What a large space costs grows with its size and no faster: counted in calls, never in time."""

import cProfile
import pstats
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from search_simulator import cost_of
from space_cases import DEMO

from trm.config.files import yaml_text
from trm.search.asking.ask import Asker
from trm.search.planning.survey import check_space
from trm.search.space.candidates import Resolver
from trm.search.space.loading import load_space

FEW = 100


def choice(count: int) -> dict[str, Any]:
    values = [(index + 1) * 1e-6 for index in range(count)]
    knob = {"type": "choice", "values": values}
    follower = {"type": "choice", "values": [0.8, 0.9], "when": {"optim.weight_decay": values}}
    return {"search": {**DEMO["search"], "optim.weight_decay": knob, "optim.beta1": follower}}


def start_points(count: int) -> dict[str, Any]:
    knobs = {"optim.lr": DEMO["search"]["optim.lr"], "model.H_cycles": DEMO["search"]["model.H_cycles"]}
    return {"search": knobs, "start_points": [{"optim.lr": 3e-4 + index * 1e-7, "model.H_cycles": 1} for index in range(count)]}


def constraints(count: int) -> dict[str, Any]:
    return {"constraints": [f"step_gflops <= {1000 + index}" for index in range(count)]}


def calls(sections: dict[str, Any], folder: Path) -> int:
    """Calls that it takes to read the space, to check it, and to choose a trial."""
    folder.mkdir()
    values = {**DEMO, **sections, "sampler": {"type": "random"}, "scheduler": {"type": "none"}}
    values["budget"] = {**DEMO["budget"], "trials": 3}
    (folder / "space.yaml").write_text(yaml_text(values))
    with cProfile.Profile() as profile:
        space = load_space(folder / "space.yaml")
        check_space(space, cost_of)
        Asker(Resolver(space, cost_of)).choose([], {}, 0)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


@pytest.mark.parametrize("sections", [choice, start_points, constraints])
def test_cost_grows_with_size(sections: Callable[[int], dict[str, Any]], tmp_path: Path) -> None:
    none, once, twice = (calls(sections(max(1, FEW * factor)), tmp_path / str(factor)) for factor in (0, 1, 2))
    assert twice - once < 1.2 * (once - none) + 1000
