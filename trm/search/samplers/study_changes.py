"""Which trials of a growing list have changed: so that a view of 10,000 trials is not built anew for every ask."""

from collections.abc import Sequence

from trm.search.journal.trial import Phase, Trial


class Changes:
    """Follows the trials of one sweep from ask to ask.

    A trial enters a new phase, a new object, with everything that happens to it (`SweepState`): the one that is held tells whether
    anything did.
    """

    def __init__(self) -> None:
        self._trials: list[Trial] = []
        self._phases: list[Phase] = []

    def since(self, trials: Sequence[Trial]) -> tuple[bool, Sequence[int]]:
        """Whether these are not the trials of before with others behind them, and the places of all that are new or have changed.

        Where they are others all are new.
        """
        before = len(self._trials)
        changed = [
            place
            for place, (trial, known, phase) in enumerate(zip(trials, self._trials, self._phases, strict=False))
            if trial.phase is not phase or trial is not known
        ]
        is_other = len(trials) < before or any(trials[place] is not self._trials[place] for place in changed)
        if is_other:
            before, changed = 0, []
            self._trials, self._phases = [], []
        for place in changed:
            self._phases[place] = trials[place].phase
        self._trials += trials[before:]
        self._phases += [trial.phase for trial in trials[before:]]
        return is_other, [*changed, *range(before, len(trials))]
