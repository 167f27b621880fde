"""Trials of one configuration on several seeds (`replicates`): what they come to together."""

from dataclasses import dataclass
from typing import Any

from trm.search.journal.trial import Trial
from trm.search.state import SweepState
from trm.stats.intervals import MeanOfSeeds, mean_of_seeds
from trm.tasks.metrics import bounds

SHOWN = 3
"""Configurations of which the terminal tells."""


@dataclass(frozen=True)
class Replicated:
    """A configuration that several seeds brought to one rung."""

    trials: tuple[Trial, ...]
    """In the order of their numbers."""
    rung: int
    """The highest that at least two of them reached."""
    scores: tuple[float, ...]
    """Of each there."""
    mean: MeanOfSeeds


def replicated(state: SweepState) -> list[Replicated]:
    """Configurations with scores of at least two seeds, those of the highest rung first, the best mean before the others."""
    groups: dict[str, list[Trial]] = {}
    for trial in state.searched:
        groups.setdefault(trial.asked.digest, []).append(trial)
    found = [one for trials in groups.values() if (one := _of(state, trials)) is not None]
    return sorted(found, key=lambda one: (-one.rung, state.order.cost(one.mean.mean), one.trials[0].number))


def _of(state: SweepState, trials: list[Trial]) -> Replicated | None:
    for rung in reversed(range(len(state.rungs.amounts))):
        there = tuple(trial for trial in trials if rung in trial.results)
        if len(there) > 1:
            scores = tuple(float(trial.results[rung].objective or 0.0) for trial in there)
            return Replicated(there, rung, scores, mean_of_seeds(scores, bounds(state.space.objective.metric)))
    return None


def replicate_rows(state: SweepState) -> list[dict[str, Any]]:
    """A row a configuration, as leaderboard.json has it."""
    return [
        {
            "trials": [trial.number for trial in one.trials],
            "seeds": [trial.asked.seed for trial in one.trials],
            "rung": one.rung,
            "scores": list(one.scores),
            **one.mean._asdict(),
            "parameters": one.trials[0].shown_params,
        }
        for one in replicated(state)
    ]


def replicate_words(state: SweepState) -> list[str]:
    """The best of them in words: the mean over seeds, and the score of each."""
    metric, words = state.space.objective.metric, []
    for one in replicated(state)[:SHOWN]:
        each = ", ".join(f"{score:.4f} (trial {trial.number})" for trial, score in zip(one.trials, one.scores, strict=True))
        whose = f"{len(one.trials)} seeds of trial {one.trials[0].number}'s configuration at rung {one.rung}"
        words.append(f"{metric} {one.mean.text}, mean of {whose}: {each}")
    return words
