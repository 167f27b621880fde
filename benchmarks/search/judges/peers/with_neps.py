"""NePS: PriorBand, asked and told, without a prior and with one at the default.

The fidelity is epochs: shares of a trial's own compute; the factor is its default, 3. Its classic spaces know no conditions: a knob
that is not active is drawn and ignored. The prior has medium confidence and is tried first at full length, as in its authors' own
PriorBand. It names the best at the highest fidelity. Where a judge has no curves it is Bayesian optimization, with a prior PiBO.
Its ifBO is not here: the weights of its surrogate are no package, they are downloaded when it is first used.
"""

import logging
import math
import random
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from neps.optimizers.algorithms import bayesian_optimization, pibo, priorband
from neps.optimizers.ask_and_tell import AskAndTell
from neps.space import HPOCategorical, HPOFloat, HPOInteger, SearchSpace

from benchmarks.search.judges.judge import Judge, Knob, Sweep
from benchmarks.search.judges.peers.drive import Configurations, active, all_codes, epoch_of, error, first_share, is_number

FIDELITY = "epochs"
CONFIDENCE = "medium"


def _space(judge: Judge, first: float, *, has_prior: bool) -> SearchSpace:
    priors = all_codes(judge.knobs, judge.default) if has_prior else {}
    dimensions = {knob.name: _dimension(knob, priors.get(knob.name)) for knob in judge.knobs}
    if judge.epochs == 1:
        return SearchSpace(dimensions)
    least = max(1, math.floor(judge.epochs * first + 1e-6))  # it counts levels by this ratio, so that no rounding up loses one
    return SearchSpace({**dimensions, FIDELITY: HPOInteger(least, judge.epochs, is_fidelity=True)})


def _optimizer(space: SearchSpace, eta: int, *, has_prior: bool) -> Any:
    if space.fidelity is not None:
        return priorband(space, eta=eta, sample_prior_first="highest_fidelity" if has_prior else False)
    return pibo(space, sample_prior_first=True) if has_prior else bayesian_optimization(space)


def _dimension(knob: Knob, prior: Any) -> HPOCategorical | HPOFloat | HPOInteger:
    if not is_number(knob):
        return HPOCategorical(list(range(len(knob.values))), prior=prior, prior_confidence=CONFIDENCE)
    if knob.kind == "choice":
        return HPOInteger(0, len(knob.values) - 1, prior=prior, prior_confidence=CONFIDENCE)
    if knob.kind == "int":
        return HPOInteger(int(knob.low), int(knob.high), log=knob.is_log, prior=prior, prior_confidence=CONFIDENCE)
    return HPOFloat(knob.low, knob.high, log=knob.is_log, prior=prior, prior_confidence=CONFIDENCE)


def _sweep(sweep: Sweep, *, tries_default: bool, first: float | None = None, eta: int = 3) -> None:
    logging.getLogger("neps").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="neps")
    random.seed(sweep.seed)
    np.random.seed(sweep.seed % 2**32)  # noqa: NPY002 it draws from the global generators
    torch.manual_seed(sweep.seed)
    judge, runs = sweep.judge, Configurations(sweep)
    first = first or first_share(sweep, eta, eta**-2)
    tool = AskAndTell(_optimizer(_space(judge, first, has_prior=tries_default), eta, has_prior=tries_default))
    while True:
        trial = tool.ask()
        params = active(judge.knobs, trial.config)
        value = runs.train(params, epoch_of(judge, trial.config.get(FIDELITY, judge.epochs)))
        if value is None:
            return
        tool.tell(trial, error(value))


TOOLS: Mapping[str, Callable[..., None]] = {"neps-priorband": _sweep}
