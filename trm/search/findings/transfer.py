"""Whether an earlier sweep's ranking held in this one: over the configurations that both tried, rung by rung, as transfer.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from trm.console.redaction import stored
from trm.files.atomic import write_text_atomic
from trm.search.journal.priors import Prior, PriorTrial, prior_summary
from trm.search.journal.trial import Trial
from trm.search.order import Place
from trm.search.state import SweepState
from trm.stats.rank_correlation import Agreement, agreement

FILE = "transfer.json"


@dataclass(frozen=True)
class Shared:
    """A configuration that both sweeps tried."""

    prior: PriorTrial
    place: int
    """In the earlier ranking, from 1."""
    trials: list[Trial]
    """Here."""


@dataclass(frozen=True)
class RungTransfer:
    """Agreement with the scores at one rung of this sweep."""

    rung: int
    share: float
    """Of this sweep's `budget.per_trial`."""
    agreement: Agreement


@dataclass(frozen=True)
class Transfer:
    """How an earlier sweep's ranking fared here."""

    prior: Prior
    shared: list[Shared]
    rungs: list[RungTransfer]
    """Rungs that at least one shared configuration reached."""

    @property
    def main(self) -> RungTransfer | None:
        """The rung that tells most: where most of them were scored, of equals the highest; early stopping thins out the others."""
        return max(self.rungs, key=lambda one: (one.agreement.pairs, one.rung), default=None)

    def points(self, rung: int) -> list[tuple[int, float]]:
        """(place there, mean objective here) of the shared configurations that reached a rung."""
        found = [
            (one.place, [trial.results[rung].objective for trial in one.trials if rung in trial.results]) for one in self.shared
        ]
        scores = [(place, [value for value in values if value is not None]) for place, values in found]
        return [(place, fmean(values)) for place, values in scores if values]

    @property
    def text(self) -> str:
        """In one line."""
        said = f"the ranking of {self.prior.name}"
        if self.main is None:
            return f"{said}: none of its configurations was scored here yet"
        found = self.main.agreement
        where = f"{found.pairs} configurations tried in both, at {self.main.share:.3g} of a whole trial"
        if found.spearman is None or found.interval_95 is None:
            return f"{said}: {found.verdict} ({where})"
        low, high = found.interval_95
        return f"{said}: {found.verdict}: rank correlation {found.spearman:.2f} (95 %: {low:.2f} to {high:.2f}; {where})"


def transfers(state: SweepState) -> list[Transfer]:
    """One for each earlier sweep, in their order."""
    return [_transfer(state, prior) for prior in state.priors]


def write_transfer(state: SweepState, folder: str | Path) -> None:
    """Rewrites `folder`/transfer.json, atomically; nothing where the sweep knows of no earlier one."""
    if state.priors:
        values = [_values(state, transfer) for transfer in transfers(state)]
        write_text_atomic(Path(folder) / FILE, json.dumps(stored({"earlier": values}), indent=1, allow_nan=False) + "\n")


def _transfer(state: SweepState, prior: Prior) -> Transfer:
    by_digest: dict[str, list[Trial]] = {}
    for trial in state.trials:
        if trial.results and not trial.adoptions:
            by_digest.setdefault(trial.asked.digest, []).append(trial)
    ranking = enumerate(prior.trials, start=1)
    shared = [Shared(one, place, trials) for place, one in ranking if (trials := by_digest.get(one.digest))]
    reached = sorted({rung for one in shared for trial in one.trials for rung in trial.results})
    amounts = state.rungs.amounts
    rungs = [RungTransfer(rung, amounts[rung] / amounts[-1], _agreement(state, shared, rung)) for rung in reached]
    return Transfer(prior, shared, rungs)


def _agreement(state: SweepState, shared: list[Shared], rung: int) -> Agreement:
    """Of the earlier places with those here, by objective and then by loss, as a rung ranks."""
    scores = [(one.place, *mean) for one in shared if (mean := _mean(state, one, rung)) is not None]
    here = sorted({score[1:] for score in scores})
    return agreement([score[0] for score in scores], [float(here.index(score[1:])) for score in scores])


def _mean(state: SweepState, shared: Shared, rung: int) -> Place | None:
    """Mean place of a configuration's trials at a rung; None: none of them reached it."""
    scores = [trial.scores[rung] for trial in shared.trials if rung in trial.scores]
    if not scores:
        return None
    ties = [score.tie for score in scores if score.tie is not None]
    return fmean(state.order.cost(score.objective) for score in scores), fmean(ties) if ties else float("inf")


def _values(state: SweepState, transfer: Transfer) -> dict[str, Any]:
    main = transfer.main
    return {
        **prior_summary(transfer.prior),
        "verdict": main.agreement.verdict if main is not None else Agreement(0, None, None, None, None).verdict,
        "text": transfer.text,
        "main_rung": main.rung if main is not None else None,
        "rungs": [
            {"rung": one.rung, "share": one.share, **asdict(one.agreement), "verdict": one.agreement.verdict}
            for one in transfer.rungs
        ],
        "shared": [_shared_values(state, one) for one in transfer.shared],
    }


def _shared_values(state: SweepState, shared: Shared) -> dict[str, Any]:
    last = shared.prior.scores[-1]
    rows = [
        {"trial": trial.number, "rung": rung, "objective": result.objective, "loss": result.loss}
        for trial in shared.trials
        for rung, result in sorted(trial.results.items())
    ]
    there = {"place": shared.place, "trials": shared.prior.trials, **last.model_dump()}
    return {"params": shared.prior.params, "there": there, "here": rows}
