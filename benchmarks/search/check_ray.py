"""Does `tune.Tuner(...).fit()` decide what `peers.ray_tune` says it does? Real sweeps of Ray on this machine, one trial at a time.

`python -m benchmarks.search.check_ray sudoku4x4_grid --repetitions 3`: exit code 1 when a choice or an end differs.
"""

import os
import sys
import tempfile
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.rows import emit, parser
from benchmarks.search.compare import table_of
from benchmarks.search.peers import METRIC, Limits, most_epochs, ray_tune, reports, values
from benchmarks.search.tables import Runs, Table

Ends = list[tuple[int, int, float]]
"""Configuration, last epoch and last accuracy of each trial, in order."""


@ray.remote(num_cpus=0)
class Recorder:
    """Hands out recorded runs, each once, as the replay does."""

    def __init__(self, table: Table, seed: int) -> None:
        self._table, self._runs, self._count = table, Runs(table, seed), 0

    def begin(self, params: dict[str, Any]) -> list[tuple[int, float, float]]:
        """What the next trial reports."""
        config = self._table.config(params)
        curve = self._runs.curve(self._count, config)
        self._count += 1
        return list(reports(self._table, config, curve))


def trial(params: dict[str, Any], recorder: Any) -> None:
    """A trial whose training was recorded."""
    for epoch, accuracy, _ in ray.get(recorder.begin.remote(params)):
        tune.report({METRIC: accuracy, "epoch": epoch})


def real_ends(table: Table, seed: int, trials: int) -> Ends:
    """What Ray Tune itself does."""
    recorder = Recorder.remote(table, seed)
    with tempfile.TemporaryDirectory() as storage:
        tuner = tune.Tuner(
            tune.with_parameters(trial, recorder=recorder),
            param_space={path: tune.choice(one) for path, one in values(table).items()},
            tune_config=tune.TuneConfig(
                metric=METRIC,
                mode="max",
                search_alg=OptunaSearch(seed=seed),
                # Only recorded epochs are reported, so an epoch's number is told, not counted.
                scheduler=ASHAScheduler(time_attr="epoch", max_t=most_epochs(table)),
                num_samples=trials,
                max_concurrent_trials=1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(storage_path=storage, verbose=0),
        )
        results = tuner.fit()
        return [(table.config(one.config), one.metrics["epoch"], one.metrics[METRIC]) for one in results]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("tables", nargs="+")
    made.add_argument("--repetitions", type=int, default=3)
    made.add_argument("--trials", type=int, default=25)
    arguments = made.parse_args()
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    is_same = True
    for name in arguments.tables:
        table = table_of(name)
        for seed in range(arguments.repetitions):
            real = real_ends(table, seed, arguments.trials)
            ends = ray_tune(table, seed, Limits(arguments.trials)).ends
            same = sum(one == other for one, other in zip(real, ends, strict=True))
            is_same &= same == arguments.trials
            emit({"figure": "ray_decisions", "table": name, "seed": seed, "trials": len(real), "same": same}, arguments.out)
    ray.shutdown()
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
