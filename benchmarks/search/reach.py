"""Is a sweep's compute foretold? Whole sweeps on judges: what the dry run says, what is said on the way, what it was in the end.

`python -m benchmarks.search.reach --judges lcbench_7593 late_0 --trials 50 --seeds 4` prints a row a judge, in full lengths; and
how its sampler's trials climb (`trm/search/planning/drawn_scores.py`): of so many equals a new trial is the best. Confirmations are
left out. It needs what the judges need (`judges/requirements.txt`).
"""

import math
import sys
from typing import Any

import numpy as np

from benchmarks.rows import emit, parser, spread
from benchmarks.search.course import Course, Trained
from benchmarks.search.judges.choice import judge_of
from benchmarks.search.judges.judge import Limits, Sweep
from benchmarks.search.judges.ours import FULL_FLOPS, cost_of, sweep_of
from trm.search.journal.events import LegStarted
from trm.search.journal.trial import Trial
from trm.search.planning.drawn_scores import climb_of
from trm.search.planning.forecast import Expected, forecast
from trm.search.planning.survey import Survey
from trm.search.search import Search
from trm.search.space.candidates import Facts
from trm.terminal.progress import SweepProgress

SHARES = (0.2, 0.4, 0.7)
"""Of the trials, after which it is asked what the sweep will take."""


class _Told:
    """Trains as another does, and writes down what is foretold on the way."""

    def __init__(self, search: Search, trainer: Any, trials: int) -> None:
        self._search, self._trainer = search, trainer
        self._due = [math.ceil(share * trials) for share in SHARES]
        self.foretold: list[float] = []

    def train(self, trial: Trial, leg: LegStarted) -> Trained:
        return self._trainer.train(trial, leg)

    def ended(self, trial: Trial, leg: LegStarted) -> bool:
        if len(self.foretold) < len(self._due) and len(self._search.state.searched) >= self._due[len(self.foretold)]:
            flops = SweepProgress(self._search.state).snapshot(1000.0).flops_expected
            assert flops is not None
            self.foretold.append(flops / FULL_FLOPS)
        return False


def measure(name: str, trials: int, seeds: int, sampler: str) -> dict[str, object]:
    """What was foretold and what came, of so many sweeps."""
    took, foretold, climbs = [], [], []
    expected: Expected | None = None
    for seed in range(seeds):
        sections = {"sampler": {"type": sampler}, "confirm": None}
        search, trainer = sweep_of(Sweep(judge_of(name), seed, Limits(trials=trials)), sections)
        if expected is None:
            expected = forecast(Survey(search.state.space, cost_of(judge_of(name)), Facts()), slots=1).expected
        told = _Told(search, trainer, trials)
        Course(search, told).run()
        took.append(search.state.spending.train_flops / FULL_FLOPS)
        foretold.append(told.foretold)
        scores = [trial.scores[0] for trial in search.state.searched if 0 in trial.scores]
        climbs.append(climb_of(search.state.order, scores, 2.0))
    assert expected is not None
    wrong = np.abs(np.array(foretold) / np.array(took)[:, None] - 1).mean(0)
    return {
        "benchmark": "reach",
        "judge": name,
        "sampler": sampler,
        "trials": trials,
        "dry_run": round(expected.train_flops / FULL_FLOPS, 1),
        "dry_run_range": [round(end / FULL_FLOPS, 1) for end in expected.train_flops_range],
        "took": spread(took),
        "mean_error_at": dict(zip(map(str, SHARES), wrong.round(3).tolist(), strict=True)),
        "climb": spread(climbs),
    }


def main(argv: list[str]) -> None:
    """Measures what the command line asks for."""
    arguments = parser(__doc__)
    arguments.add_argument("--judges", nargs="+", required=True)
    arguments.add_argument("--trials", type=int, default=50)
    arguments.add_argument("--seeds", type=int, default=4)
    arguments.add_argument("--sampler", default="tpe")
    options = arguments.parse_args(argv)
    for name in options.judges:
        emit(measure(name, options.trials, options.seeds, options.sampler), options.out)


if __name__ == "__main__":
    main(sys.argv[1:])
