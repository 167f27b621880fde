"""Population based training (arXiv 1711.09846): at the end of a generation the worst go on from the best, with other knobs."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from trm.config.run import CHANGES_WITHIN_RUN
from trm.errors import ConfigError
from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob, Scalar, at_share
from trm.search.schedulers.complete import rank_text
from trm.search.schedulers.rungs import Rungs
from trm.search.schedulers.scheduler import Decision, Exploit, Scheduler, SchedulerContext, SchedulerSettings, SearchedKnobs
from trm.search.settings import Fidelity
from trm.seeds import derived_seed

FACTORS = (0.8, 1.25)
"""What a number is multiplied by (the paper: 0.8 and 1.2); one undoes the other, so that exploring drifts nowhere."""
TRIES = 20
"""Draws of changed knobs that may break a rule of the space; then the source's own are taken."""

Params = Mapping[str, Any]


class PopulationBasedTraining(SchedulerSettings):
    """Population based training (arXiv 1711.09846), a generation at a time, of knobs that may change within a run."""

    changes_knobs: ClassVar[bool] = True
    knows_outcomes: ClassVar[bool] = False

    type: Literal["pbt"] = "pbt"
    """Names the scheduler."""
    population: int = Field(8, ge=2)
    """Members, each a trial; with more `budget.trials`, one population follows another."""
    generations: int = Field(10, ge=1, le=1000)
    """Rungs at even distances, the last at `budget.per_trial`; between them the worst go on from the best."""
    quantile: float = Field(0.25, gt=0, le=0.5)
    """Share of the members that is replaced, and share whose members replace them."""
    resample: float = Field(0.25, ge=0, le=1)
    """Probability that a knob is drawn anew; else a number is multiplied by 0.8 or 1.25, a choice goes to a neighbour."""

    def scheduler(self, searched: SearchedKnobs) -> Scheduler:
        """Trains populations, one after the other."""
        return PopulationTraining(self, searched)

    def rungs_up_to(self, per_trial: float) -> Rungs:
        """A rung a generation, at even distances."""
        return Rungs.even(per_trial, self.generations)

    def following(self, rungs: Rungs, amount: float, per_trial: float) -> float | None:
        """None: a population ends with its last generation."""
        return None

    def check(self, paths: Iterable[str], fidelity: Fidelity, *, has_fronts: bool) -> None:
        """ConfigError for knobs that are fixed within a run, lengths that differ, a quantile of nobody, and several objectives."""
        for path in paths:
            if path not in CHANGES_WITHIN_RUN:
                raise ConfigError(
                    f"scheduler pbt changes knobs within a run, and {path} cannot change there",
                    remedy=f"fix {path} in base, or use another scheduler; pbt searches {', '.join(CHANGES_WITHIN_RUN)}",
                )
        if fidelity == "seconds":
            raise ConfigError(
                "scheduler pbt compares members at equal steps, and with fidelity seconds they differ as speeds are learned",
                remedy="set fidelity to train_flops or steps",
            )
        if self.population * self.quantile < 1:
            raise ConfigError(
                f"scheduler pbt replaces nobody: {self.quantile:g} of a population of {self.population} is less than one",
                remedy=f"raise scheduler.quantile to {1 / self.population:.3g} or more",
            )
        if has_fronts:
            raise ConfigError(
                "scheduler pbt makes the members of a population alike, and objective.against wants them spread over a front",
                remedy="drop objective.against, or take another scheduler such as asha",
            )


class PopulationTraining:
    """Everybody rests at the end of a generation until all members that still can arrive have; then all go on.

    A member of the last `quantile` goes on from the checkpoint and the changed knobs of one of the first `quantile`, drawn by
    (sweep seed, member, generation), unless it is within one standard error of the worst of those. Members that ended early
    are missed by nobody and are not replaced.
    """

    def __init__(self, settings: PopulationBasedTraining, searched: SearchedKnobs) -> None:
        """For the knobs that are searched."""
        self._settings, self._searched = settings, searched

    def group(self, trial: int) -> int:
        """Its population: one follows the other."""
        return trial // self._settings.population

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def decision(self, context: SchedulerContext, trial: int, rung: int) -> Decision:
        """Rests until its generation is complete."""
        return Decision("paused", rank_text(context, self.group(trial), trial, rung))

    def stops(self, context: SchedulerContext) -> Sequence[tuple[int, str]]:
        """Nobody: who is among the worst goes on from another's checkpoint."""
        return ()

    def exploits(self, context: SchedulerContext) -> Sequence[Exploit]:
        """Exploits of complete generations, as long as the members that are replaced are still paused there."""
        found: list[Exploit] = []
        for group, rung in self._complete(context):
            found += self._exploits_in(context, group, rung)
        return found

    def promotion(self, context: SchedulerContext) -> int | None:
        """The best paused member of a complete generation, of the oldest population that has one."""
        for group, rung in self._complete(context):
            for trial in context.rungs[group][rung].paused:
                if trial not in context.targets:
                    return trial
        return None

    def may_ask(self, context: SchedulerContext) -> bool:
        """Always."""
        return True

    def _complete(self, context: SchedulerContext) -> list[tuple[int, int]]:
        """(population, generation) where members rest and nobody else can arrive any more."""
        return [
            (group, rung)
            for group in sorted(context.rungs)
            for rung, board in enumerate(context.rungs[group][:-1])
            if board.paused and self._is_complete(context, group, rung)
        ]

    def _is_complete(self, context: SchedulerContext, group: int, rung: int) -> bool:
        members = range(group * self._settings.population, (group + 1) * self._settings.population)
        if context.asked < members.stop and not context.is_asking_over:
            return False
        if any(target <= rung and trial in members for trial, target in context.targets.items()):
            return False
        return not any(below.paused for below in context.rungs[group][:rung])

    def _exploits_in(self, context: SchedulerContext, group: int, rung: int) -> list[Exploit]:
        board = context.rungs[group][rung]
        ranked, count = board.ranked, max(1, int(len(board) * self._settings.quantile))
        if len(ranked) < 2:
            return []
        paused = {trial for trial in board.paused if trial not in context.targets}
        # After a resume with more trials a latecomer may find that the best have gone on, and their knobs have changed since.
        sources = [trial for trial in ranked[:count] if trial in paused]
        cut = board.score(ranked[count - 1]).objective
        worst = [trial for trial in ranked[-count:] if trial in paused]
        replaced = [trial for trial in worst if board.is_flat or not board.is_near(board.score(trial), cut)]
        return [self._exploit(context, trial, rung, sources) for trial in replaced if sources]

    def _exploit(self, context: SchedulerContext, trial: int, rung: int, sources: list[int]) -> Exploit:
        generator = random.Random(derived_seed(self._searched.seed, "adopt", trial, rung))
        source = generator.choice(sources)
        for _ in range(TRIES):
            params = self._explored(context.params_of(source), generator)
            if self._searched.keeps_rules(params):
                return Exploit(trial, rung, source, params)
        return Exploit(trial, rung, source, dict(context.params_of(source)))

    def _explored(self, params: Params, generator: random.Random) -> dict[str, Any]:
        explored: dict[str, Any] = {}
        for path, knob in self._searched.knobs.items():
            chance, share, direction = generator.random(), generator.random(), generator.randrange(2)
            if knob.is_active(explored):
                is_fresh = path not in params or chance < self._settings.resample
                explored[path] = at_share(knob, share) if is_fresh else changed(knob, params[path], direction)
        return explored


def changed(knob: Knob, value: Scalar, direction: int) -> Scalar:
    """A value beside `value`: a number times 0.8 (direction 0) or 1.25 (1), within the knob; a neighbour in a choice's list."""
    if isinstance(knob, ChoiceKnob):
        index = knob.values.index(value) + (1 if direction else -1)
        return knob.values[min(max(index, 0), len(knob.values) - 1)]
    assert isinstance(value, int | float)
    moved = value * FACTORS[direction]
    if isinstance(knob, FloatKnob):
        return min(max(moved, knob.low), knob.high)
    assert isinstance(knob, IntKnob)
    steps = round((moved - value) / knob.step) or (1 if direction else -1)
    return min(max(value + steps * knob.step, knob.low), knob.high)
