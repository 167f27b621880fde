"""Choosing the next trial: start points first, then the sampler, never the same run twice."""

import itertools
import random
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from trm.search.candidates import Candidate, Resolver
from trm.search.draws import MAX_WALKED, all_params, space_size
from trm.search.samplers import Proposal, Proposer, random_proposals
from trm.search.seeds import derived_seed
from trm.search.settings import BruteForce
from trm.search.trial import Trial

SAMPLER_TRIES = 40
RANDOM_TRIES = 1000


@dataclass(frozen=True)
class Choice:
    """The next trial."""

    candidate: Candidate
    source: Literal["start_point", "sampler"]
    notes: dict[str, Any] = field(default_factory=dict)


class Asker:
    """Chooses trials; what it chooses is a function of the trials so far, the seed and the number."""

    def __init__(self, resolver: Resolver) -> None:
        """For the resolver's space."""
        self._resolver = resolver
        self._space = resolver.space
        self._proposer = Proposer(resolver.space)
        found = [resolver.resolve(self._space.complete(point)) for point in self._space.start_points]
        self._starts = [one for one in found if isinstance(one, Candidate)]
        self._is_walkable = space_size(self._space) <= MAX_WALKED
        self._walked: dict[str, Candidate] | None = None

    @property
    def why_none(self) -> str:
        """Why `choose` found nothing."""
        if self._is_walkable:
            return "no new configuration is left in the space"
        return f"{SAMPLER_TRIES + RANDOM_TRIES} draws found no new configuration that keeps every rule"

    def choose(self, trials: Sequence[Trial], seen: Container[str], number: int) -> Choice | None:
        """Trial `number`, whose digest is not among `seen`; None when the space has nothing new to offer."""
        for start in self._starts:
            if start.digest not in seen:
                return Choice(start, "start_point")
        if not isinstance(self._space.sampler, BruteForce):
            for proposal in self._tries(trials, number):
                found = self._resolver.resolve(proposal.params)
                if isinstance(found, Candidate) and found.digest not in seen:
                    return Choice(found, "sampler", proposal.notes)
        return self._walk(seen, number)

    def _tries(self, trials: Sequence[Trial], number: int) -> Iterator[Proposal]:
        yield from itertools.islice(self._proposer.proposals(trials, number), SAMPLER_TRIES)
        yield from itertools.islice(random_proposals(self._space, number), RANDOM_TRIES)

    def _walk(self, seen: Container[str], number: int) -> Choice | None:
        if self._walked is None:
            walk = all_params(self._space) if self._is_walkable else iter(())
            found = (self._resolver.resolve(params) for params in walk)
            self._walked = {one.digest: one for one in found if isinstance(one, Candidate)}
        unseen = [candidate for digest, candidate in self._walked.items() if digest not in seen]
        if not unseen:
            return None
        return Choice(random.Random(derived_seed(self._space.seed, "walk", number)).choice(unseen), "sampler")
