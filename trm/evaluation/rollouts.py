"""Several answers to every row, rollouts that differ by what is drawn and symmetric forms, and which of them counts."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, assert_never, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, UInt8
from torch import Tensor

from trm.data.batches.plan import Batch, EvaluationBatch
from trm.evaluation.pooled import VOTE, pooled
from trm.models.network import Latents

BREADTH = "breadth."
"""Before the names of columns about depths, breadths and selectors."""
Select = Literal["vote", "q", "residual", "first_halt"]
ANSWER, RESIDUAL, ORACLE = "answer", "residual", "oracle_accuracy"
"""Columns of a rollout that tell its answer from others', and how much its latents still moved; whether any rollout is exact."""


def tiled(batch: EvaluationBatch, times: int) -> EvaluationBatch:
    """The batch so many times, one after the other."""
    rows = batch.batch
    cells = [np.tile(part, (times, 1)) for part in (rows.inputs, rows.labels)]
    own = Batch(cells[0], cells[1], np.tile(rows.puzzle_identifiers, times))
    return EvaluationBatch(own, np.tile(batch.rows, times), np.tile(batch.augmentations, times))


def answer_numbers(cells: UInt8[np.ndarray, "rows cells"]) -> Int64[np.ndarray, " rows"]:
    """A number for each answer; two different ones share one with a chance of about 2**-61."""
    generator = np.random.Generator(np.random.Philox(key=0x726F6C6C))
    odd = generator.integers(0, 1 << 63, size=cells.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    numbers: np.ndarray = cells.astype(np.uint64) @ odd
    return numbers.view(np.int64)


def residual_of(given: Latents, made: Latents) -> Tensor:
    """How far each row's latents moved in a step, as a share of their length."""
    moved = sum((made[name].double() - given[name].double()).square().sum((1, 2)) for name in made)
    whole = sum(made[name].double().square().sum((1, 2)) for name in made)
    share: Tensor = torch.sqrt(torch.as_tensor(moved) / torch.as_tensor(whole).clamp(min=1e-300))
    return share


def chosen(
    select: Select,
    rollouts: Mapping[str, np.ndarray],
    halting_step: Int64[np.ndarray, "rollouts rows"],
    has_halted: Bool[np.ndarray, "rollouts rows"],
) -> Int64[np.ndarray, " rows"]:
    """Which rollout of each row counts; `rollouts` are columns (rollouts, rows) after the same step. Of equal ones the first."""
    probabilities: Float64[np.ndarray, "rollouts rows"] = rollouts["halting_probability"]
    match select:
        case "vote":
            return _voted(rollouts[ANSWER], probabilities)
        case "q":
            return np.asarray(probabilities.argmax(0))
        case "residual":
            return np.asarray(rollouts[RESIDUAL].argmin(0))
        case "first_halt":
            first = np.where(has_halted, halting_step, np.iinfo(np.int64).max)
            is_first = first == first.min(0)
            return np.asarray(np.where(is_first, probabilities, -1.0).argmax(0))
        case _ as never:
            assert_never(never)


def widths(rollouts: int) -> list[int]:
    """How many of so many rollouts are looked at: powers of two, and all."""
    return sorted({1 << power for power in range(rollouts.bit_length()) if 1 << power <= rollouts} | {rollouts})


def breadth_columns(
    step: int, own: Mapping[str, np.ndarray], forms: int, select: Select | None, measured: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Which rows are exact after a step, of the first so many forms and rollouts, by each selector; `breadth_points` reads them.

    `own` are columns (answers, rows), a form's rollouts together; those that are `measured` are kept of the chosen answer too. With
    `select` by it alone, of all rollouts of every form.
    """
    rollouts, rows = len(own["is_exact"]) // forms, own["is_exact"].shape[1]
    selectors: tuple[Select, ...] = get_args(Select) if select is None else (select,)
    found: dict[str, np.ndarray] = {}
    names = sorted({"is_exact", *measured})
    by_form = {name: column.reshape(forms, rollouts, rows) for name, column in own.items()}
    for form_count in widths(forms):
        for width in widths(rollouts) if select is None else [rollouts]:
            part = {name: column[:form_count, :width].reshape(-1, rows) for name, column in by_form.items()}
            if form_count * width == 1:
                found |= {_breadth_name(step, 1, 1, "", name): part[name][0] for name in names}
                continue
            for by in selectors:
                index = chosen(by, part, part["mean_halting_step"], part["has_halted"])
                kept = {name: part[name][index, np.arange(rows)] for name in names}
                if VOTE in names and by == "vote":
                    kept |= pooled(part)
                found |= {_breadth_name(step, form_count, width, by, name): column for name, column in kept.items()}
    return found


def _breadth_name(step: int, forms: int, width: int, select: str, name: str) -> str:
    """The name of a column about the answer of a depth, forms, rollouts of each and a selector, which is empty for one answer."""
    return f"{BREADTH}{step}.{forms}.{width}.{select}.{name}"


def breadth_points(columns: Mapping[str, np.ndarray]) -> dict[tuple[int, int, int, str], dict[str, np.ndarray]]:
    """Steps, forms, rollouts of each and selector -> the columns that `breadth_columns` made of that."""
    found: dict[tuple[int, int, int, str], dict[str, np.ndarray]] = {}
    for name in (name for name in columns if name.startswith(BREADTH)):
        steps, forms, rollouts, select, own = name.removeprefix(BREADTH).split(".", 4)
        found.setdefault((int(steps), int(forms), int(rollouts), select), {})[own] = columns[name]
    return found


def _voted(
    answers: Int64[np.ndarray, "rollouts rows"], probabilities: Float64[np.ndarray, "rollouts rows"]
) -> Int64[np.ndarray, " rows"]:
    """The first rollout with the answer of most votes; of equally many, with the highest mean halting probability.

    Rollouts of a row are sorted by their answers, and means are of sums in the order of rollouts.
    """
    order = answers.argsort(0, kind="stable")
    ranked = np.take_along_axis(answers, order, 0)
    is_other = np.concatenate([np.zeros_like(ranked[:1], dtype=bool), ranked[1:] != ranked[:-1]])
    groups = np.empty_like(order)
    np.put_along_axis(groups, order, is_other.cumsum(0) * answers.shape[1] + np.arange(answers.shape[1]), 0)
    votes = np.bincount(groups.ravel())[groups]
    means = np.bincount(groups.ravel(), weights=probabilities.ravel())[groups] / votes
    return np.asarray(np.where(votes == votes.max(0), means, -1.0).argmax(0))


def joined(parts: Sequence[Mapping[str, np.ndarray]], rows: int) -> dict[str, np.ndarray]:
    """Columns as (rollouts, rows), of parts that hold several rollouts of the same `rows` one after the other."""
    return {name: np.concatenate([part[name].reshape(-1, rows, *part[name].shape[1:]) for part in parts]) for name in parts[0]}
