"""Choosing the next trial: start points and the base first, then the sampler, never the same run twice."""

import itertools
import random
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from trm.search.asking.beliefs import MixedProposer
from trm.search.asking.proposals import Advice, Proposal, Proposer, random_proposals
from trm.search.asking.trust import Suggestion
from trm.search.journal.trial import Trial
from trm.search.schedulers.rungs import Rungs
from trm.search.space.candidates import Candidate, Rejected, Resolver
from trm.search.space.enumeration import MAX_WALKED, all_params, space_size
from trm.seeds import derived_seed

Source = Literal["start_point", "base", "sampler", "belief", "near_best", "replicate", "carried"]
SAMPLER_TRIES = 40
RANDOM_TRIES = 1000


@dataclass(frozen=True)
class Choice:
    """The next trial."""

    candidate: Candidate
    source: Source
    notes: dict[str, Any] = field(default_factory=dict)
    prior: int | None = None
    """Earlier sweep that it is carried from, by its place."""


def _key(params: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    return frozenset(params.items())


class Asker:
    """Chooses trials; what it chooses is a function of the trials so far, the seed and the number."""

    def __init__(self, resolver: Resolver) -> None:
        """For the resolver's space."""
        self._resolver = resolver
        self._space = resolver.space
        starts = [self._space.complete(point) for point in self._space.start_points]
        self._starts = {_key(start): start for start in starts}
        self._is_walkable = space_size(self._space) <= MAX_WALKED
        self.turned_down: list[Rejected] = []
        """What the last `choose` found and turned down because the machines are too small for it."""
        self._walked: tuple[Rungs, dict[str, dict[str, Any]]] | None = None
        """Digest -> parameters of all that the space offers, memory and disk apart, for trials of those rungs."""

    @cached_property
    def _proposer(self) -> Proposer:
        """Made when the first trial is chosen: by then it is known by which rules the sweep began."""
        kind = MixedProposer if self._space.believed else Proposer
        return kind(self._space, self._resolver.rules)

    @property
    def why_none(self) -> str:
        """Why `choose` found nothing."""
        if self._space.sampler.tries == "earlier":
            return "all that was carried from the earlier sweep has been tried"
        if self._is_walkable:
            return "no new configuration is left in the space"
        return f"{SAMPLER_TRIES + RANDOM_TRIES} draws found no new configuration that keeps every rule"

    def choose(
        self,
        trials: Sequence[Trial],
        copies: Mapping[str, int],
        number: int,
        suggestion: Suggestion | None = None,
        *,
        replicates: int | None = None,
    ) -> Choice | None:
        """Trial `number`; None when the space has nothing new to offer.

        `copies`: trials of each digest so far. The last trial is asked again until there are as many as `replicates`
        (null: as the space says).
        `suggestion`: of an earlier sweep, whose configurations come before the sampler's.
        """
        self.turned_down = []
        replicates = replicates or self._space.replicates
        if replicates > 1 and trials and copies[trials[-1].asked.digest] < replicates:
            again = self._resolve(trials[-1].asked.params)
            if isinstance(again, Candidate):
                return Choice(again, "replicate", trials[-1].asked.sampler_notes)
        if (given := self._given(trials, copies)) is not None:
            return given
        sampler = self._space.sampler
        for place, params in suggestion.configurations if suggestion is not None else ():
            found = self._resolve(params)
            if isinstance(found, Candidate) and found.digest not in copies:
                return Choice(found, "carried", prior=place)
        if sampler.tries == "earlier":
            return None
        if sampler.tries == "proposals":
            suggested_by = suggestion.suggested_by if suggestion is not None else None
            advice = (
                Advice(suggestion.advice, self._resolver.rungs) if suggestion is not None and suggested_by is not None else None
            )
            known = {one.digest for one in advice.trials} if advice is not None else set()
            for proposal in self._tries(trials, number, advice):
                found = self._resolve(proposal.params)
                if isinstance(found, Candidate) and found.digest not in copies and found.digest not in known:
                    return Choice(found, proposal.source, proposal.notes, suggested_by)
        return self._walk(copies, number)

    def _given(self, trials: Sequence[Trial], copies: Container[str]) -> Choice | None:
        """The first of the start points, and then the base, that was not tried and keeps every rule."""
        begun = {_key(trial.asked.params) for trial in trials if trial.asked.source == "start_point"} if self._starts else ()
        for key, start in self._starts.items():
            found = None if key in begun else self._resolve(start)
            if isinstance(found, Candidate) and found.digest not in copies:
                return Choice(found, "start_point")
        if self._space.base_point is None or any(trial.asked.source == "base" for trial in trials):
            return None
        base = self._resolver.base()
        return Choice(base, "base") if isinstance(base, Candidate) and base.digest not in copies else None

    def _resolve(self, params: Mapping[str, Any]) -> Candidate | Rejected:
        found = self._resolver.resolve(params)
        if isinstance(found, Rejected) and found.limit is not None:
            self.turned_down.append(found)
        return found

    def _tries(self, trials: Sequence[Trial], number: int, advice: Advice | None) -> Iterator[Proposal]:
        yield from itertools.islice(self._proposer.proposals(trials, number, advice), SAMPLER_TRIES)
        yield from itertools.islice(random_proposals(self._space, number), RANDOM_TRIES)

    def _walk(self, copies: Container[str], number: int) -> Choice | None:
        """One of the configurations that are left, where there are few enough to walk through."""
        if not self._is_walkable:
            return None
        unseen = [params for digest, params in self._all().items() if digest not in copies]
        random.Random(derived_seed(self._space.seed, "walk", number)).shuffle(unseen)
        found = (self._resolve(params) for params in unseen)
        return next((Choice(one, "sampler") for one in found if isinstance(one, Candidate)), None)

    def _all(self) -> dict[str, dict[str, Any]]:
        """All that the space offers now, whatever was known when somebody asked before: a resume must find the same."""
        rungs = self._resolver.rungs
        if self._walked is None or self._walked[0] != rungs or self._space.fidelity == "seconds":  # speeds change lengths too
            found = (self._resolver.resolve(params, is_limited=False) for params in all_params(self._space))
            self._walked = rungs, {one.digest: one.params for one in found if isinstance(one, Candidate)}
        return self._walked[1]
