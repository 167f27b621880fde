"""DEHB: differential evolution under Hyperband, its class asked and told, one worker.

The fidelity is epochs: shares of a trial's own compute; the factor is its default, 3. A vector's knobs that are not active are
kept and ignored, as it does. It names the best at the largest fidelity. It has no way to be told a default. Where a judge has no
curves it is the differential evolution that it wraps.
"""

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from dehb import DE, DEHB

from benchmarks.search.judges.judge import Sweep
from benchmarks.search.judges.peers.drive import Configurations, epoch_of, error, first_share, least_budget
from benchmarks.search.judges.peers.spaces import params_of, space_of


def _sweep(sweep: Sweep, *, tries_default: bool, first: float | None = None, eta: int = 3) -> None:
    assert not tries_default, "it has no way to be told a default"
    judge = sweep.judge
    first = first or first_share(sweep, eta, eta**-2)
    if judge.epochs == 1:
        _without_fidelity(sweep)
        return
    with tempfile.TemporaryDirectory() as folder:
        tool = DEHB(
            cs=space_of(judge, sweep.seed),
            min_fidelity=least_budget(judge, first),
            max_fidelity=judge.epochs,
            eta=eta,
            n_workers=1,
            seed=sweep.seed,
            save_freq=None,
            output_path=folder,
            log_level="ERROR",
        )
        runs = Configurations(sweep)
        while True:
            job = tool.ask()
            epoch = epoch_of(judge, job["fidelity"])
            value = runs.train(params_of(judge, job["config"]), epoch)
            if value is None:
                return
            tool.tell(job, {"fitness": error(value), "cost": epoch})


class _OverError(Exception):
    """Nothing more may be begun."""


def _without_fidelity(sweep: Sweep) -> None:
    runs = Configurations(sweep)

    def train(configuration: Any) -> dict[str, float]:
        value = runs.train(params_of(sweep.judge, configuration), sweep.judge.epochs)
        if value is None:
            raise _OverError
        return {"fitness": error(value), "cost": 1.0}

    space = space_of(sweep.judge, sweep.seed)
    tool = DE(
        cs=space,
        f=train,
        dimensions=len(sweep.judge.knobs),
        mutation_factor=0.5,
        crossover_prob=0.5,
        seed=sweep.seed,
        configspace=True,
    )
    with contextlib.suppress(_OverError):
        tool.run(generations=10**6)


TOOLS: Mapping[str, Callable[..., None]] = {"dehb": _sweep}
