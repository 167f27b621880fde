"""Population based training (arXiv 1711.09846): at the end of a generation the worst go on from the best, with other knobs."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trm.search.knobs.knobs import ChoiceKnob, FloatKnob, IntKnob, Knob, Scalar, at_share
from trm.search.schedulers.scheduler import Adoption, Standing, Verdict
from trm.search.schedulers.settings import PopulationBasedTraining
from trm.search.schedulers.settled import place
from trm.seeds import derived_seed

FACTORS = (0.8, 1.25)
"""What a number is multiplied by (the paper: 0.8 and 1.2); one undoes the other, so that exploring drifts nowhere."""
TRIES = 20
"""Draws of changed knobs that may break a rule of the space; then the source's own are taken."""

Params = Mapping[str, Any]


class PopulationTraining:
    """Everybody rests at the end of a generation until all members that still can arrive have; then all go on.

    A member of the last `quantile` adopts the checkpoint and the changed knobs of one of the first `quantile`, drawn by
    (sweep seed, member, generation), unless it is within one standard error of the worst of those. Members that ended early
    are missed by nobody and are not replaced.
    """

    def __init__(
        self, scheduler: PopulationBasedTraining, knobs: Mapping[str, Knob], seed: int, keeps_rules: Callable[[Params], bool]
    ) -> None:
        """For `knobs` in the order of their conditions; `keeps_rules` says whether changed knobs mean a trial that may run."""
        self._settings, self._knobs, self._seed, self._keeps_rules = scheduler, knobs, seed, keeps_rules

    def group(self, trial: int) -> int:
        """Its population: one follows the other."""
        return trial // self._settings.population

    def first_rung(self, trial: int) -> int:
        """The first."""
        return 0

    def verdict(self, standing: Standing, trial: int, rung: int) -> Verdict:
        """Rests until its generation is complete."""
        return Verdict("paused", place(standing, self.group(trial), trial, rung))

    def left_behind(self, standing: Standing) -> Sequence[tuple[int, str]]:
        """Nobody: who is among the worst goes on from another's checkpoint."""
        return ()

    def adoptions(self, standing: Standing) -> Sequence[Adoption]:
        """Those of complete generations, as long as those who adopt still rest there."""
        found: list[Adoption] = []
        for group, rung in self._complete(standing):
            found += self._adoptions_in(standing, group, rung)
        return found

    def promotion(self, standing: Standing) -> int | None:
        """The best resting member of a complete generation, of the oldest population that has one."""
        for group, rung in self._complete(standing):
            for trial in standing.boards[group][rung].resting:
                if trial not in standing.headings:
                    return trial
        return None

    def may_ask(self, standing: Standing) -> bool:
        """Always."""
        return True

    def _complete(self, standing: Standing) -> list[tuple[int, int]]:
        """(population, generation) where members rest and nobody else can arrive any more."""
        return [
            (group, rung)
            for group in sorted(standing.boards)
            for rung, board in enumerate(standing.boards[group][:-1])
            if board.resting and self._is_complete(standing, group, rung)
        ]

    def _is_complete(self, standing: Standing, group: int, rung: int) -> bool:
        members = range(group * self._settings.population, (group + 1) * self._settings.population)
        if standing.asked < members.stop and not standing.is_asking_over:
            return False
        if any(heading <= rung and trial in members for trial, heading in standing.headings.items()):
            return False
        return not any(board.resting for board in standing.boards[group][:rung])

    def _adoptions_in(self, standing: Standing, group: int, rung: int) -> list[Adoption]:
        board = standing.boards[group][rung]
        ranked, count = board.ranked, max(1, int(len(board) * self._settings.quantile))
        if len(ranked) < 2:
            return []
        resting = {trial for trial in board.resting if trial not in standing.headings}
        # After a resume with more trials a latecomer may find that the best have gone on, and their knobs have changed since.
        sources = [trial for trial in ranked[:count] if trial in resting]
        cut = board.score(ranked[count - 1]).objective
        worst = [trial for trial in ranked[-count:] if trial in resting]
        replaced = [trial for trial in worst if board.is_flat or not board.is_near(board.score(trial), cut)]
        return [self._adoption(standing, trial, rung, sources) for trial in replaced if sources]

    def _adoption(self, standing: Standing, trial: int, rung: int, sources: list[int]) -> Adoption:
        generator = random.Random(derived_seed(self._seed, "adopt", trial, rung))
        source = generator.choice(sources)
        for _ in range(TRIES):
            params = self._explored(standing.params_of(source), generator)
            if self._keeps_rules(params):
                return Adoption(trial, rung, source, params)
        return Adoption(trial, rung, source, dict(standing.params_of(source)))

    def _explored(self, params: Params, generator: random.Random) -> dict[str, Any]:
        explored: dict[str, Any] = {}
        for path, knob in self._knobs.items():
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
