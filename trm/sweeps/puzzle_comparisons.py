"""The winner against each other confirmed trial, puzzle by puzzle, from the files that their runs left."""

from dataclasses import dataclass
from pathlib import Path

from trm.evaluation.puzzle_scores import read_puzzles
from trm.search.findings.confirmed import confirmed_statistics, fresh_runs
from trm.search.state import SweepState
from trm.stats.comparison import Comparison, compare
from trm.sweeps.trial_files import puzzles_file
from trm.tasks.metrics import is_share


@dataclass(frozen=True)
class PuzzleComparison:
    """The winner against another confirmed trial; plain values."""

    trial: int
    against: int
    metric: str
    compared: Comparison

    @property
    def sentence(self) -> str:
        """What it says, in words."""
        one = self.compared
        counted = f"{one.puzzles} puzzles, {one.seeds[0]} and {one.seeds[1]} seeds"
        scale, unit = (100, " points") if is_share(self.metric) else (1, "")
        text = f"trial {self.trial} against {self.against} on {counted}: {self.metric} {one.difference * scale:+.3g}{unit}"
        if one.interval_95 is not None:
            text += f" (95 % interval {one.interval_95[0] * scale:+.3g} to {one.interval_95[1] * scale:+.3g})"
        even = one.puzzles - one.better - one.worse
        text += f"; better on {one.better} puzzles, worse on {one.worse}, even on {even}"
        return text if one.is_supported else f"{text}: no difference is supported"


def puzzle_comparisons(state: SweepState, folder: Path) -> list[PuzzleComparison]:
    """Of the best confirmed trial with each other, those whose files are there and hold the objective's metric."""
    rows, objective = confirmed_statistics(state).rows, state.space.objective
    runs = {row.trial: [puzzles_file(folder, run.number) for run in fresh_runs(state, row.trial)] for row in rows}
    scores = {trial: read_puzzles(files, objective.metric) for trial, files in runs.items()}
    found = []
    for row in rows[1:]:
        first, other = scores[rows[0].trial], scores[row.trial]
        if first is not None and other is not None and first.shape[1] == other.shape[1]:
            found.append(PuzzleComparison(rows[0].trial, row.trial, objective.metric, compare(first, other, objective.mode)))
    return found
