"""An ensemble: several networks answer the same rows, and their answers vote. Read from files of answers, a row group at a time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import UInt8

from trm.data.batches.augmenter import IGNORED, as_labels
from trm.data.batches.plan import Batch, EvaluationBatch
from trm.data.batches.split import Split
from trm.evaluation.answers_file import cells_in
from trm.evaluation.pooled import NUMBER
from trm.evaluation.rollouts import ANSWER, ORACLE, Select, answer_numbers, chosen
from trm.evaluation.scores import Columns, TaskScorer

READ = ("row", "identifier", "answer", "augmentation", "cells", "halting_logit", "is_exact", "loss")
MOST_ANSWERS = 1 << 32
"""Answers of a member to a row at most; of several members `number // MOST_ANSWERS` is whose it is, the rest its own number."""


def stored_columns(path: Path, split: Split, scorer: TaskScorer, *, has_votes: bool, is_pooled: bool) -> Columns:
    """What a file of answers says of each row of `split`, in the order of rows; of several steps of a row the last.

    `is_pooled`: every answer to a row is there; else the one that was chosen, which may be another one after another step.
    Memory holds a row group and a few numbers a row. ValueError for rows that the split does not have.
    """
    parts = []
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            parts.append(_columns(file.read_row_group(number, columns=list(READ)), split, scorer, has_votes=has_votes))
    if not parts:
        raise ValueError("no rows")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    names = (NUMBER, "identifier", "row") if is_pooled else ("identifier", "row")
    order = np.lexsort([columns[name] for name in names])  # stable: the steps of an answer stay in order
    is_last = np.append(np.any([np.diff(columns[name][order]) != 0 for name in names], axis=0), True)
    return {name: column[order[is_last]] for name, column in columns.items()}


def _columns(group: pa.Table, split: Split, scorer: TaskScorer, *, has_votes: bool) -> Columns:
    """What is known of the rows of a group. Their labels are those of the split's rows, as augmented ones have no one's."""
    own = {name: group[name].to_numpy() for name in READ if name != "cells"}
    rows, cells = own["row"].astype(np.int64), cells_in(group)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(split) and cells.shape[1] == split.inputs.shape[1]):
        raise ValueError(f"rows of another split than {split.name}")
    labels = as_labels(split.labels[rows])
    batch = EvaluationBatch(
        Batch(split.inputs[rows].astype(np.int32), labels, own["identifier"].astype(np.int32)), rows, own["augmentation"]
    )
    probabilities = 1 / (1 + np.exp(-own["halting_logit"].astype(np.float64)))
    found = {
        "row": rows,
        "identifier": own["identifier"],
        NUMBER: own["answer"].astype(np.int64),
        "is_exact": own["is_exact"].astype(bool),
        "loss": own["loss"],
        "halting_probability": probabilities,
        "q_halt_accuracy": (own["halting_logit"] >= 0) == own["is_exact"],
    }
    if not has_votes:
        found |= {ANSWER: answer_numbers(cells), "cell_accuracy": _cell_accuracy(cells, labels)}
    return found | scorer.columns(cells, batch)


def _cell_accuracy(cells: UInt8[np.ndarray, "batch cells"], labels: np.ndarray) -> np.ndarray:
    is_labelled = labels != IGNORED
    return np.asarray((is_labelled & (cells == labels)).sum(1) / np.maximum(is_labelled.sum(1), 1))


def is_same_rows(members: Sequence[Columns]) -> bool:
    """Whether all answered the same rows under the same identifiers."""
    first = members[0]
    return all(all(np.array_equal(member[name], first[name]) for name in ("row", "identifier")) for member in members[1:])


def ensemble_of(members: Sequence[Columns], select: Select, *, has_votes: bool) -> Columns:
    """Columns of the ensemble, of members that answered the same rows.

    Where rows vote for their question (ARC) every answer of every member is a vote, one member's after the other's; elsewhere one
    member's answer to each row counts, chosen as rollouts are.
    """
    if has_votes:
        joined = {name: np.concatenate([member[name] for member in members]) for name in members[0]}
        owners = np.repeat(np.arange(len(members)), [len(member["row"]) for member in members])
        return joined | {NUMBER: owners * MOST_ANSWERS + joined[NUMBER]}
    stacked = {name: np.stack([member[name] for member in members]) for name in members[0]}
    never = np.zeros_like(stacked["is_exact"])
    index = chosen(select, stacked, never.astype(np.int64), never)
    places = np.arange(len(index))
    kept = {name: column[index, places] for name, column in stacked.items() if name != ANSWER}
    return kept | {NUMBER: index * MOST_ANSWERS + kept[NUMBER], ORACLE: stacked["is_exact"].any(0)}
