"""What a sampler is: its settings in a search space, and the sampler of Optuna's that proposes for one trial.

A sampler is one file: a `SamplerSettings` with a `type`. `choice.py` names it.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from optuna.samplers import BaseSampler

from trm.config.base import Written
from trm.errors import ConfigError
from trm.search.journal.priors import Prior, PriorTrial
from trm.search.knobs.knobs import Knob
from trm.search.settings import Objective
from trm.search.space.rules import RULES


@dataclass(frozen=True)
class Ask:
    """One trial that is asked for: its sampler is made afresh, so that it hangs on nothing but these."""

    number: int
    """Of the trial."""
    seed: int
    """Of this ask."""
    sweep_seed: int
    """What a seed that all asks of a sweep share is derived from."""
    knobs: Mapping[str, Knob]
    """Searched, by path, in the order of their conditions."""
    rules: int = RULES
    """By which the sweep began (`space/rules.py`)."""


class SamplerSettings(Written):
    """A sampler as a search space says it, and how it proposes."""

    tries: ClassVar[Literal["proposals", "walk", "earlier"]] = "proposals"
    """Where trials come from: what the sampler proposes; what is left of a finite space; earlier sweeps alone."""
    most_shown: ClassVar[int | None] = None
    """Trials that the sampler is shown, the best tenth of those and the latest; None: all."""
    reads_ranks: ClassVar[bool] = True
    """With several objectives, whether it is shown places among the trials, of stopped ones too; else finished trials' figures."""
    reads_finished_alone: ClassVar[bool] = False
    """Whether it looks at finished trials alone: with one objective those stopped early are then shown as finished, by places."""
    compares_rungs: ClassVar[bool] = False
    """With one objective, whether stopped trials stand among finished ones by what they are worth across rungs (`standing.py`)."""
    learns_from_earlier: ClassVar[bool] = False
    """Whether trials of an earlier sweep may be shown to it as if they were of this one."""
    mixes_with_beliefs: ClassVar[bool] = False
    """Whether trials that a knob's `prior` chose may come between its own."""
    moves_from_best: ClassVar[bool] = False
    """Whether it draws near the best trials itself, so that beside beliefs nobody else has to."""

    climb: ClassVar[float] = 1.0
    """Of so many trials as good as those before it a new one is the best, about (`planning/drawn_scores.py`)."""

    type: str
    """Names the sampler."""

    @abstractmethod
    def sampler(self, ask: Ask) -> BaseSampler | None:
        """Optuna's sampler for one trial; None: parameters are drawn at random, without a study."""

    def check(self, objective: Objective) -> None:
        """ConfigError for an objective that the sampler cannot deal with."""

    def check_beliefs(self, believed: Sequence[str]) -> None:
        """ConfigError for a sampler that beliefs would not reach, which searches `believed` with a `prior`."""
        if believed and not self.mixes_with_beliefs:
            raise ConfigError(
                f"search.{believed[0]}.prior says where good values lie, and sampler {self.type} asks for trials wherever they lie",
                remedy="drop it, or take sampler tpe, surrogate, random or gp",
            )

    def from_earlier(self, earlier: Prior) -> list[PriorTrial]:
        """The configurations that are tried of an earlier sweep, where they alone are."""
        return []
