"""What every metric that judges a row keeps: `CHECKS`, each a function of a metric."""

from collections.abc import Callable, Iterable

import numpy as np

from trm.contracts.rules import require
from trm.data.batches.plan import Batch, EvaluationBatch
from trm.evaluation.metrics import Answered, Metric
from trm.losses.answer import IGNORED

ROWS, GRID, VOCABULARY = 8, (3, 4), 6


def check_values(metric: Metric) -> None:
    """A finite value a row, between the metric's least and most; a share of puzzles is 0 or 1."""
    require_values(metric, _judged(metric, np.arange(ROWS)), ROWS)


def check_rows_are_apart(metric: Metric) -> None:
    """A row is worth what it is worth among others, in any order, and what is judged stays as it is."""
    together, order = _judged(metric, np.arange(ROWS)), np.array([3, 0, 6, 1, 7, 2, 5, 4])
    same = all(np.array_equal(_judged(metric, rows), together[rows]) for rows in (order, order[:1]))
    require(same, f"{metric.name} of a row must see nothing of the others", remedy="mix nothing across the batch")


def check_direction(metric: Metric) -> None:
    """It says whether more or less is better, so that it can be searched for, and right answers are worth no less than wrong."""
    require(metric.direction is not None, f"{metric.name} must say whether more is better", remedy="give direction: max or min")
    values = _judged(metric, np.arange(ROWS))
    require_right_is_best(metric, values[:1], [values[1:7]])


CHECKS: tuple[Callable[[Metric], None], ...] = (check_values, check_rows_are_apart, check_direction)
"""All that a metric keeps."""


def require_values(metric: Metric, values: np.ndarray, rows: int) -> None:
    """ContractError unless these are what a metric may say of so many rows."""
    require(values.shape == (rows,), f"{metric.name} must be a value a row, ({rows},), got {values.shape}", remedy="judge each row")
    inside = bool(np.isfinite(values).all() and (values >= metric.least).all() and (values <= metric.most).all())
    bounds = f"from {metric.least:g} to {metric.most:g}"
    require(inside, f"{metric.name} must be {bounds}, got {values.min():g} to {values.max():g}", remedy="say other bounds")
    whole = metric.kind != "share" or bool(np.isin(values, (0, 1)).all())
    require(whole, f"{metric.name} is a share of puzzles, so a row is 0 or 1, got {values.tolist()}", remedy="make it a mean")


def require_right_is_best(metric: Metric, right: np.ndarray, others: Iterable[np.ndarray]) -> None:
    """ContractError when other answers are worth more, on the mean, than right ones."""
    sign, best = {"max": 1, "min": -1, None: 0}[metric.direction], float(right.mean())
    for value in (float(values.mean()) for values in others):
        told = f"{metric.name} must hold right answers no worse than others, got {best:.4g} and {value:.4g}"
        require(sign * best >= sign * value, told, remedy="turn direction round, or mend it")


def _judged(metric: Metric, rows: np.ndarray) -> np.ndarray:
    """What rows of one fixed batch are worth: right, half right, wrong, and without labels among them."""
    draws = np.random.default_rng(4)
    labels = draws.integers(1, VOCABULARY, (ROWS, GRID[0] * GRID[1]), dtype=np.int32)
    predictions = labels.copy()
    predictions[1:4, ::2] = 1
    predictions[4:] = draws.integers(1, VOCABULARY, predictions[4:].shape)
    labels[6, 3:], labels[7] = IGNORED, IGNORED
    inputs, numbers = np.where(draws.random(labels.shape) < 0.5, 1, labels.clip(1)).astype(np.int32), np.zeros(ROWS, np.int32)
    batch = Batch(inputs[rows], labels[rows], numbers[rows])
    assert metric.column is not None, "it judges a row"
    scored = EvaluationBatch(batch, rows, numbers[rows])
    return np.asarray(metric.column(Answered(predictions[rows].astype(np.uint8), scored, GRID)))
