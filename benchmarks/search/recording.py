"""One recorded run: a configuration of a space trained as a sweep's trial is, and scored at every point of its learning curve."""

import hashlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from trm.data.batches.split import load_split
from trm.data.format.manifest import Manifest, read_manifest
from trm.distributed import SOLO
from trm.errors import DivergedError
from trm.files.atomic import write_text_atomic
from trm.models.cost import run_cost
from trm.search.space.candidates import Candidate, Resolver
from trm.search.space.enumeration import all_params
from trm.search.space.space import SearchSpace
from trm.tasks.ensure import ensure_dataset
from trm.training.loop import train
from trm.training.scoring import score
from trm.training.start import RunData, start_plan, start_state

FRACTIONS = (1 / 27, 1 / 16, 1 / 9, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 1.0)
"""Of `budget.per_trial`, at which every run is scored."""
EPOCHS = (1, 2, 3, 4, 8, 9, 16, 27, 32, 64, 81)
"""At which a run is scored as well where they lie before its end; an epoch is the same number of steps for all configurations."""
EPOCHS_OF_CHEAPEST = 81
"""Epochs of the configuration that makes the most steps."""
METRICS = ("exact_accuracy", "loss", "cell_accuracy")


@dataclass(frozen=True)
class Run:
    """One configuration, trained with one seed; as JSON, a file of the scratch folder."""

    config: int
    """Place in the grid (`Grid.candidates`)."""
    seed: int
    params: dict[str, Any]
    rows: list[dict[str, float]]
    """A point each: step, train_flops, `METRICS`, seconds of training so far."""
    is_diverged: bool
    commit: str
    started_at: float
    ended_at: float
    train_seconds: float
    eval_seconds: float

    @property
    def final(self) -> float:
        """Exact accuracy at the end."""
        return self.rows[-1]["exact_accuracy"]


@dataclass(frozen=True)
class Grid:
    """Every configuration of a finite space, on its data set."""

    space: SearchSpace
    folder: str
    """Of the built data set."""
    manifest: Manifest
    splits: RunData
    """Training and validation puzzles in memory."""

    @classmethod
    def of(cls, space: SearchSpace, root: str) -> Self:
        """The grid on the space's data set, which is built below `root` when it is missing."""
        folder = ensure_dataset(space.data, root, lambda line: None)
        manifest = read_manifest(folder)
        train, validation = (load_split(folder, manifest, name) for name in ("train", "validation"))
        return cls(space, folder, manifest, RunData(train=train, validation=validation))

    @cached_property
    def candidates(self) -> list[Candidate]:
        """Every configuration, in the fixed order in which the space is walked through."""
        resolver = Resolver(self.space, partial(run_cost, shape=self.manifest.shape))
        found = [resolver.resolve(params) for params in all_params(self.space)]
        assert all(isinstance(one, Candidate) for one in found), "a recorded grid has no constraints"
        return [one for one in found if isinstance(one, Candidate)]

    @cached_property
    def epoch_steps(self) -> int:
        """Optimizer steps of an epoch: the configuration that makes the most steps makes `EPOCHS_OF_CHEAPEST`."""
        return math.ceil(max(one.max_steps for one in self.candidates) / EPOCHS_OF_CHEAPEST)

    def points(self, candidate: Candidate) -> list[int]:
        """Steps at which a run of the candidate is scored, growing."""
        return points(candidate, self.space.budget.per_trial, self.epoch_steps)


def points(candidate: Candidate, per_trial: float, steps_an_epoch: int) -> list[int]:
    """Steps at which the candidate is scored, growing; a fraction's are those of a rung there, at least its FLOPs."""
    shares = {math.ceil(per_trial * share / candidate.step_flops * (1 - 1e-12)) for share in FRACTIONS}
    epochs = {count * steps_an_epoch for count in EPOCHS}
    return sorted(step for step in {max(1, one) for one in shares} | epochs if step <= candidate.max_steps)


def record(grid: Grid, config: int, seed: int, commit: str) -> Run:
    """Trains one run to its end; a sweep would give it the same configuration, and its legs the same numbers."""
    started = time.time()
    candidate = grid.candidates[config]
    found, rows = _scored(grid, candidate, seed), list[dict[str, float]]()
    is_diverged, eval_seconds = False, 0.0
    steps = grid.points(candidate)
    try:
        for row, seconds in found:
            rows.append(row)
            eval_seconds += seconds
    except DivergedError:
        is_diverged = True
        lost = {"exact_accuracy": 0.0, "loss": math.inf, "cell_accuracy": 0.0, "seconds": rows[-1]["seconds"] if rows else 0.0}
        rows += [{"step": step, "train_flops": step * candidate.step_flops, **lost} for step in steps[len(rows) :]]
    return Run(
        config=config,
        seed=seed,
        params=candidate.params,
        rows=rows,
        is_diverged=is_diverged,
        commit=commit,
        started_at=started,
        ended_at=time.time(),
        train_seconds=rows[-1]["seconds"],
        eval_seconds=eval_seconds,
    )


def _scored(grid: Grid, candidate: Candidate, seed: int) -> Iterator[tuple[dict[str, float], float]]:
    """A row at each point, and the seconds that its evaluation took."""
    config = grid.space.run_config(candidate.params, seed=seed, folder=grid.folder, max_steps=candidate.max_steps)
    state = start_state(config, grid.manifest, None, max_steps=candidate.max_steps, device="cpu", gang=SOLO)
    plan, seconds = start_plan(state, grid.splits["train"], grid.manifest), 0.0
    for step in grid.points(candidate):
        seconds += train(state, plan, until_steps=step).seconds
        scored = score(state, grid.splits["validation"], grid.manifest)
        metrics = {name: scored.evaluation.metrics[name] for name in METRICS}
        yield {"step": state.step, "train_flops": state.train_flops, **metrics, "seconds": seconds}, scored.seconds


def runs_digest(space: SearchSpace) -> str:
    """Digest of what decides the runs of a grid: data, base, knobs, length."""
    decisive = [space.data.model_dump(mode="json"), space.base, list(all_params(space)), space.budget.per_trial]
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]


def run_file(scratch: Path, config: int, seed: int) -> Path:
    """Where a finished run lies."""
    return scratch / f"{config:03d}-{seed:02d}.json"


def save(run: Run, scratch: Path) -> None:
    """Lays the run down, whole or not at all."""
    write_text_atomic(run_file(scratch, run.config, run.seed), json.dumps(asdict(run)))


def finished(scratch: Path) -> list[Run]:
    """Every run that was laid down, by configuration and seed."""
    return [Run(**json.loads(path.read_text())) for path in sorted(scratch.glob("[0-9]*.json"))]
