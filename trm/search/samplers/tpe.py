"""Tree-structured Parzen estimator."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.sampler import _split_complete_trials, default_gamma, default_gamma_multiobjective
from optuna.study import Study
from optuna.trial import FrozenTrial
from pydantic import Field

from trm.search.samplers.distributions import distribution
from trm.search.samplers.sampler import Ask, SamplerSettings
from trm.search.samplers.study_rows import FEASIBLE, INFEASIBLE, ORDER_COLUMNS, RUNNING, UNKNOWN
from trm.search.samplers.study_storage import HistoryStorage
from trm.search.space.rules import offers_next_best

Array = NDArray[Any]


class TPE(SamplerSettings):
    """Optuna's tree-structured Parzen estimator, multivariate."""

    most_shown: ClassVar[int | None] = 2000
    """An ask grows with their number."""
    learns_from_earlier: ClassVar[bool] = True
    mixes_with_beliefs: ClassVar[bool] = True

    climb: ClassVar[float] = 2.25

    type: Literal["tpe"] = "tpe"
    """Names the sampler."""
    startup_trials: int = Field(5, ge=0)
    """Trials with a result before the estimator takes over from random draws."""
    candidates: int = Field(64, ge=1)
    """Draws from the good trials' density, of which the best is taken."""

    def sampler(self, ask: Ask) -> TPESampler:
        """Knobs without conditions are drawn together."""
        joint = {path: distribution(knob) for path, knob in sorted(ask.knobs.items()) if not knob.when}
        options = {"seed": ask.seed, "n_startup_trials": self.startup_trials, "n_ei_candidates": self.candidates}
        is_whole = not any(knob.when for knob in ask.knobs.values())
        return _JointTPE(joint, is_whole=is_whole, offers_next=offers_next_best(ask.rules), **options)


class _JointTPE(TPESampler):  # type: ignore[misc]
    """Knobs without conditions are drawn together, the others one by one, which the space tells without a look at the history.

    What the study's trials are is read from its rows (`study_rows.py`), and they are split once for all draws of an ask; what is
    drawn is what Optuna's sampler draws.
    """

    def __init__(self, joint: dict[str, BaseDistribution], *, is_whole: bool, offers_next: bool, **options: Any) -> None:
        """`offers_next`: whether the best draw that is not tried yet comes first, and who is asked again offers the next best.

        `is_whole`: whether knobs that are drawn together are all there are.
        """
        super().__init__(**options)
        self._joint = {path: one for path, one in joint.items() if not one.single()}
        self._is_joint_whole, self._offers_next = is_whole, offers_next
        self._next: list[dict[str, Any]] = []
        """Joint draws that were not the best, the best of them last."""
        self._split: tuple[Array, Array] | None = None
        """Rows of the good and the bad trials, for as long as this sampler lives: one ask."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._joint

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self._next.pop() if self._next else dict(super().sample_relative(study, trial, search_space))

    def _sample(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Of as many draws from the density of the good trials as there are candidates, the one that is likeliest by comparison."""
        storage = study._storage
        assert isinstance(storage, HistoryStorage)
        assert storage.told is not None, "it is shown what TPE reads"
        if self._split is None:
            self._split = split_rows(storage.told.rows, study)
        columns = [storage.told.columns[path] for path in search_space]
        asked = [one for one in storage.asked if one.number != trial.number]  # turned down: drawn away from
        turned_down = self._get_internal_repr(asked, search_space, study)
        good, bad = (_observed(rows, columns, search_space) for rows in self._split)
        bad = {path: np.concatenate([bad[path], turned_down[path]]) for path in search_space}
        weights = np.ones(len(next(iter(good.values())))) if study._is_multi_objective() else None
        below = _ParzenEstimator(good, search_space, self._parzen_estimator_parameters, weights)
        above = _ParzenEstimator(bad, search_space, self._parzen_estimator_parameters)
        drawn = below.sample(self._rng.rng, self._n_ei_candidates)
        gain = self._compute_acquisition_func(drawn, below, above)
        if self._offers_next and search_space == self._joint:
            ranked = _ranked(drawn, gain)
            if self._is_joint_whole:  # then what was tried is turned down
                tried = set(map(tuple, storage.told.rows[:, columns].tolist()))
                ranked.sort(key=lambda values: values in tried)
            best, *self._next = [_params(values, search_space) for values in ranked]
            self._next.reverse()
            return best
        best = self._compare(drawn, gain)
        return _params([best[path] for path in search_space], search_space)


def _ranked(drawn: Mapping[str, Array], gain: Array) -> list[tuple[float, ...]]:
    """Draws that differ, the best first."""
    order = np.argsort(-gain, kind="stable")
    return list(dict.fromkeys(zip(*(values[order].tolist() for values in drawn.values()), strict=True)))


def _params(values: Iterable[float], search_space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    return {path: one.to_external_repr(value) for (path, one), value in zip(search_space.items(), values, strict=True)}


def _observed(rows: Array, columns: Sequence[int], paths: Iterable[str]) -> dict[str, Array]:
    """Values of the rows in which all of some knobs are active."""
    values = rows[:, columns]
    values = values[~np.isnan(values).any(axis=1)]
    return {path: values[:, place] for place, path in enumerate(paths)}


def split_rows(rows: Array, study: Study) -> tuple[Array, Array]:
    """The rows of a study's good trials, as many as Optuna's TPE takes, and of the others; both in the order of the trials."""
    kind, first, second = rows[:, :ORDER_COLUMNS].T
    ended = int(((kind != RUNNING) & (kind != UNKNOWN)).sum())
    if study._is_multi_objective():
        good = _best_of_fronts(kind, first, study, default_gamma_multiobjective(ended))
    else:
        good = np.lexsort((second, first, kind))[: default_gamma(ended)]
    is_good = np.zeros(len(rows), dtype=bool)
    is_good[good] = True
    return rows[is_good], rows[~is_good & (kind != UNKNOWN)]


def _best_of_fronts(kind: Array, broken: Array, study: Study, count: int) -> Array:
    """Who stands in the first fronts, the last of them by hypervolume; where those are too few, who breaks a constraint least."""
    trials = study.get_trials(deepcopy=False)
    chosen, _ = _split_complete_trials([trials[index] for index in np.flatnonzero(kind == FEASIBLE)], study, count)
    impossible = np.flatnonzero(kind == INFEASIBLE)
    rest = impossible[np.argsort(broken[impossible], kind="stable")][: count - len(chosen)]
    return np.concatenate([np.array([one.number for one in chosen], dtype=np.intp), rest])
