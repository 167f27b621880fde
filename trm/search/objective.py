"""The figures that a sweep's objective is weighed against: their names, their values for a trial, and how they compare.

| name | what it is |
| --- | --- |
| params | trained parameters, the puzzle embedding included |
| inference_flops | FLOPs of answering one puzzle with as many supervision steps as the answers have that the metric scores |
| train_flops | training FLOPs spent until the score; at `fidelity: train_flops` the rung's amount (see below) |
| latency_seconds | seconds a puzzle in a batch of the evaluation, as the leg measured them while other trials ran beside it |
| anything else | a metric that the evaluation reports, unasked or because it is named here (`asked_figures`) |

Where the fidelity is training FLOPs, all trials at a rung have spent the same but for a part of a step: there `train_flops` ranks
nobody within a rung, and tells the front of the whole sweep what compute bought.
"""

import math
from collections.abc import Mapping

from trm.config.run import RunConfig
from trm.errors import ConfigError
from trm.search.journal.events import Asked, LegEnded
from trm.search.knobs.knobs import Knob
from trm.search.order import Order
from trm.search.settings import COSTS, Objective, Tradeoff
from trm.tasks.metrics import plain_metric, steps_of_figure, unusual

Figures = Mapping[str, float | None]
"""Name -> value; null: not known, or no finite number."""


def asked_figures(objective: Objective) -> list[str]:
    """What an evaluation reports only where it is asked to, of all that the objective names, as `evaluation.metrics` has it."""
    return unusual(metric for metric in (objective.metric, *objective.others) if metric not in COSTS)


def answer_flops(objective: Objective, config: RunConfig, inference_flops: float) -> float:
    """FLOPs of an answer that the objective's metric scores, where one of the evaluation's own steps takes `inference_flops`."""
    steps = steps_of_figure(objective.metric)
    return inference_flops if steps is None else inference_flops * steps / config.answer_steps


def check_comparable(objective: Objective, search: Mapping[str, Knob]) -> None:
    """ConfigError where scores of trials would be of two scales, or of other puzzles."""
    knob = search.get("training.loss")
    for metric in [objective.metric, *objective.others]:
        if knob is not None and knob.count > 1 and plain_metric(metric) in ("loss", "loss_halted"):
            raise ConfigError(
                f"the objective compares {metric} of trials that have losses of several kinds (search.training.loss)",
                remedy="take another metric such as exact_accuracy, or make one sweep a kind",
            )
    if "evaluation.max_examples" in search:
        raise ConfigError(
            "search: evaluation.max_examples cannot be searched, because trials are compared on the same puzzles",
            remedy="set base.evaluation.max_examples",
        )


def reported(objective: Objective) -> list[str]:
    """What is weighed that a leg must report: everything but what follows from its configuration and length."""
    return [metric for metric in objective.others if metric not in ("params", "inference_flops", "train_flops")]


def figures(objective: Objective, asked: Asked, result: LegEnded, amount: float | None) -> dict[str, float | None]:
    """What a trial's score is weighed against; `amount`: training FLOPs of the rung, where those are the sweep's fidelity."""
    return {one.metric: _figure(one.metric, asked, result, amount) for one in objective.against}


def outcomes(objective: Objective, asked: Asked, result: LegEnded, amount: float | None) -> dict[str, float | None]:
    """What a trial came to of the figures that outcome constraints are about."""
    return {one.metric: _figure(one.metric, asked, result, amount) for one in objective.wanted}


def violation(objective: Objective, found: Figures) -> float:
    """By how much outcomes break the constraints, in sum over them, each in units of its bound; 0: they keep them all."""
    return sum(one.violation(found[one.metric]) for one in objective.wanted)


def _figure(metric: str, asked: Asked, result: LegEnded, amount: float | None) -> float | None:
    match metric:
        case "params":
            return float(asked.params_count)
        case "inference_flops":
            return asked.inference_flops
        case "train_flops":
            return result.train_flops if amount is None else amount
        case _:
            return result.metrics.get(metric)


def measures(objective: Objective, found: Figures) -> tuple[float, ...]:
    """The figures as a rung compares them: less is better, infinite when unknown.

    Costs count by their logarithm, so that a halving is as far at any size; that changes distances along a front, not the front.
    """
    return tuple(_measure(one, found[one.metric]) for one in objective.against)


def _measure(one: Tradeoff, value: float | None) -> float:
    if value is None or not math.isfinite(value):
        return math.inf
    if one.metric in COSTS:
        value = math.log(max(value, 1e-300))
    return Order(one.mode).cost(value)
