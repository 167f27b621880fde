"""Every puzzle keeps the contract of its door, a new one with nothing but a recipe and a builder too, and a broken one is told."""

import csv
from typing import Any, Literal

import numpy as np
import pytest
from data_cases import random_tasks, write_arc_json
from training_cases import SPLITS, begin, config_of, manifest

from trm.console.long_work import Report
from trm.contracts.tasks import CHECKS, Sample, check_task
from trm.data.batches.plan import Position, TrainPlan
from trm.data.format.built import BuiltDataset, BuiltSplit
from trm.data.format.manifest import SplitName
from trm.errors import ContractError, DatasetError
from trm.evaluation.metrics import Answered, Metric
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import TASKS, task_named
from trm.tasks.making.chunks import ChunkStore
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.recipes import recipe_of
from trm.tasks.task import Episodes, FeedRequest, Task
from trm.training.loop import train
from trm.training.start import start_plan

RECIPES: dict[str, dict[str, Any]] = {
    "sudoku": {"size": 4, "train": 30, "validation": 5, "test": 5},
    "maze": {"size": 7, "train": 12, "validation": 4, "test": 4, "min_path": 3, "augment": True},
    "arc": {"num_aug": 3},
    "other": {"validation": 2, "test": 3},
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    """A small data set of every task."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "arc").mkdir()
    write_arc_json(folder / "arc", "training", random_tasks(5))
    write_arc_json(folder / "arc", "evaluation", random_tasks(3, 1, "evaluation"))
    with (folder / "table.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(("question", "answer"))
        writer.writerows((f"{number:04b}", f"{number:04b}"[::-1]) for number in range(16))
    paths = {"arc": folder / "arc", "other": folder / "table.csv"}
    made = {}
    for name, task in TASKS.items():
        path = {"path": str(paths[name])} if name in paths else {}
        recipe = recipe_of({"task": task.recipe.kind(), "name": name, **RECIPES[name], **path}, "recipe")
        (folder / name).mkdir(exist_ok=True)
        made[name] = Sample(task, recipe, folder / name)
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", TASKS)
def test_a_task_keeps_its_contract(samples: dict[str, Sample], name: str, check: Any) -> None:
    check(samples[name])


class ParityRecipe(RecipeBase):
    """Bits and whether their number is odd."""

    task: Literal["parity"] = "parity"
    train: int = 20

    @property
    def puzzle_task(self) -> str:
        return "parity"

    @property
    def has_validation(self) -> bool:
        return False


def is_right(answered: Answered) -> np.ndarray:
    """Whether the first cell is right."""
    return (answered.predictions[:, 0] == answered.batch.batch.labels[:, 0]).astype(np.float64)


class Parity(Task[ParityRecipe]):
    """A puzzle as somebody would add it."""

    name = "parity"
    recipe = ParityRecipe
    metrics = (Metric("parity_accuracy", column=is_right),)

    def build(self, recipe: ParityRecipe, report: Report, store: ChunkStore) -> BuiltDataset:
        bits = np.unpackbits(np.random.default_rng(recipe.seed).permutation(256).astype(np.uint8)[:, None], axis=1)
        answers = np.zeros_like(bits)
        answers[:, 0] = 1 + bits.sum(axis=1) % 2
        splits: dict[SplitName, BuiltSplit] = {}
        for name, rows in (("train", range(recipe.train)), ("test", range(recipe.train, recipe.train + 10))):
            part = np.array(rows)
            splits[name] = BuiltSplit(bits[part] + np.uint8(1), answers[part], part.astype(np.int32), {})  # type: ignore[index]
        return BuiltDataset("parity", (2, 4), ("pad", "0", "1"), splits)


class Leaky(Parity):
    """Trains on what it tests."""

    def build(self, recipe: ParityRecipe, report: Report, store: ChunkStore) -> BuiltDataset:
        built = super().build(recipe, report, store)
        return BuiltDataset(built.task, built.grid, built.vocabulary, {**built.splits, "test": built.splits["train"]})


def test_a_puzzle_that_somebody_adds_needs_a_recipe_and_a_builder() -> None:
    check_task(Parity(), ParityRecipe(name="parity"))


def test_a_task_that_breaks_a_rule_is_told_which() -> None:
    with pytest.raises(ContractError, match="20 puzzles of train are in test too"):
        check_task(Leaky(), ParityRecipe(name="parity"))


def test_a_data_set_of_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(DatasetError, match="must be of a known task: 'othello' is none of sudoku, maze, arc, other"):
        task_named("othello")


class Walk:
    """Episodes that happen to be batches: what `step` takes is drawn from step 100 on."""

    def __init__(self, request: FeedRequest) -> None:
        self._plan = TrainPlan(
            request.split,
            request.manifest,
            augmenter_for,
            global_batch_size=request.batch_size,
            seed=request.seed,
            rank=request.rank,
            world_size=request.world_size,
        )

    def batch(self, step: int) -> Any:
        return self._plan.batch(100 + step)

    def position(self) -> Position:
        return self._plan.position()

    def restore(self, position: Position) -> None:
        pass


class World(type(TASKS[manifest().task])):  # type: ignore[misc]
    """A puzzle that is acted in."""

    def episodes(self, request: FeedRequest) -> Episodes:
        return Walk(request)


def test_a_world_feeds_a_run_with_its_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    state, rows = begin(config_of()), SPLITS["train"]
    batches = start_plan(state, rows, manifest())
    wanted = batches.batch(103)
    monkeypatch.setitem(TASKS, manifest().task, World())
    episodes = start_plan(state, rows, manifest())
    assert isinstance(episodes, Walk)
    assert (episodes.batch(3).inputs == wanted.inputs).all()
    train(state, episodes, until_steps=2)
    assert state.step == 2
