"""DEHB: differential evolution under Hyperband, its class asked and told, one worker.

The fidelity is epochs: shares of a trial's own compute; the factor is its default, 3. A vector's knobs that are not active are
kept and ignored, as it does. It names the best at the largest fidelity. It has no way to be told a default.
"""

import tempfile
from collections.abc import Callable, Mapping

from dehb import DEHB

from benchmarks.search.judges.judge import Sweep
from benchmarks.search.judges.peers.drive import LEAST_BUDGET, Configurations, epoch_of, error, least_budget
from benchmarks.search.judges.peers.spaces import params_of, space_of


def _sweep(sweep: Sweep, *, tries_default: bool, first: float = LEAST_BUDGET, eta: int = 3) -> None:
    assert not tries_default, "it has no way to be told a default"
    judge = sweep.judge
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


TOOLS: Mapping[str, Callable[..., None]] = {"dehb": _sweep}
