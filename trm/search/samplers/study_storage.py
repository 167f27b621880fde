"""A storage that Optuna reads a finished list of trials from: copying 1,000 of them into its own would cost 0.1 s an ask."""

from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState, create_trial

from trm.search.samplers.study_rows import Told

STUDY = 0
NAME = "sweep"


class HistoryStorage(BaseStorage):  # type: ignore[misc]
    """One study: trials that are given and never change, and behind them those that are being asked for."""

    def __init__(self, directions: Sequence[StudyDirection], history: Sequence[FrozenTrial], told: Told | None = None) -> None:
        """`history` must be numbered from 0, numbers and ids alike; `told`: its rows, for samplers that read them."""
        self._directions = list(directions)
        self.told = told
        self._trials = list(history)
        self._given = len(history)
        self._attributes: dict[str, Any] = {}

    @property
    def asked(self) -> Sequence[FrozenTrial]:
        """The trials that were asked for, in order."""
        return self._trials[self._given :]

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """The one study."""
        return STUDY

    def delete_study(self, study_id: int) -> None:
        """Never called: the storage is dropped as a whole."""
        raise NotImplementedError

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Never called by a sampler."""
        raise NotImplementedError

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """A sampler's note, for as long as the ask takes."""
        self._attributes[key] = value

    def get_study_id_from_name(self, study_name: str) -> int:
        """The one study."""
        return STUDY

    def get_study_name_from_id(self, study_id: int) -> str:
        """Its name."""
        return NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Whether more is better, of each objective."""
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """None."""
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """A sampler's notes."""
        return dict(self._attributes)

    def get_all_studies(self) -> list[FrozenStudy]:
        """The one study."""
        return [FrozenStudy(NAME, None, {}, dict(self._attributes), STUDY, directions=self._directions)]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A trial that is being asked for."""
        assert template_trial is None, "trials with a past are given at the start"
        trial = create_trial(state=TrialState.RUNNING)
        number = len(self._trials)
        trial.number = trial._trial_id = number
        self._trials.append(trial)
        return number

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution) -> None:
        """A parameter was suggested."""
        trial = self._asked(trial_id)
        trial.distributions = {**trial.distributions, param_name: distribution}
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Never called: nothing is told to a study that lives for one ask."""
        raise NotImplementedError

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Never called: nothing is reported."""
        raise NotImplementedError

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Never called by a sampler."""
        raise NotImplementedError

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """A sampler's note on the trial that is being asked for."""
        trial = self._asked(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """One trial."""
        return self._trials[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All trials, never copied: samplers only read them."""
        return [trial for trial in self._trials if states is None or trial.state in states]

    def _asked(self, trial_id: int) -> FrozenTrial:
        assert trial_id >= self._given, f"trial {trial_id} is history"
        return self._trials[trial_id]
