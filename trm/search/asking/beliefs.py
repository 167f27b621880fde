"""Beliefs (`prior` of a knob) in turn with the sampler: what is believed, what is near the best so far, and what the sampler takes.

Who draws a trial is chosen by shares that follow from the trials so far (PriorBand, arXiv 2306.12370, section 5, with the sampler
where that draws evenly). At first the belief draws `BELIEVED_SHARE` of the trials. From `FEWEST_RANKED` ranked trials on this share
is divided between the belief and the neighbourhood of the best trial, as likely as each would have drawn the best of the trials,
the first of them counting most. So a wrong belief costs a few short trials, and a right one gives way to what was found by it.

All of it follows from the trials so far, the sweep's seed and the trial's number.
"""

import heapq
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from trm.search.asking.proposals import Advice, Proposal, Proposer
from trm.search.journal.trial import Trial
from trm.search.knobs.knobs import at_share
from trm.search.knobs.neighbourhood import Neighbourhood, log_density, neighbourhood
from trm.search.order import Order, Score
from trm.search.space.rules import RULES
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

Params = dict[str, Any]
FEWEST_RANKED = 2
"""Ranked trials before anything is made of them."""
BELIEVED_SHARE = 0.5
"""Of the trials, at first."""
BEST_PART, MOST_BEST = 3, 10
"""One in so many of the ranked trials is among the best, and at most so many are: further ones weigh nothing."""
MOST_IN_FRONTS = 1000
"""Latest trials that are ranked where there are several objectives: sorting fronts takes long."""
NEXT_WEIGHT = 0.5
"""Weight of a trial among the best, by that of the one before it."""
NEAR_WIDTH, CHANGED_SHARE = 0.25, 0.5
"""Width of the best trial's neighbourhood, and how many of its knobs change there."""


class Shares(NamedTuple):
    """How often each draws a trial; the rest is the sampler's."""

    belief: float
    best: float


class MixedProposer(Proposer):
    """Proposes from what is believed of the knobs, from what is near the best trial, and what the sampler does."""

    def __init__(self, space: SearchSpace, rules: int = RULES) -> None:
        """Of a space of which some knobs have a `prior`."""
        super().__init__(space, rules)
        self._knobs, self._order, self._has_fronts = space.search, Order(space.objective.mode), bool(space.objective.against)
        self._believed = {
            path: neighbourhood(knob, knob.prior.at, knob.prior.width)
            for path, knob in space.search.items()
            if knob.prior is not None
        }

    def proposals(self, trials: Sequence[Trial], number: int, advice: Advice | None = None) -> Iterator[Proposal]:
        """Endless proposals for trial `number`; the same for the same trials and seed.

        Where the belief's turn is, knobs that nothing is believed of are as the sampler chooses.
        """
        sampled = super().proposals(trials, number, advice)
        generator = random.Random(derived_seed(self._space.seed, "belief", number))
        best, count = self.ranked(trials)
        shares = self.shares(best, count)
        while True:
            turn = generator.random()
            if turn < shares.belief:
                yield Proposal(self._drawn(generator, self._believed, next(sampled).params), {}, "belief")
            elif turn < shares.belief + shares.best and not self._space.sampler.moves_from_best:
                changed = {path: near for path, near in self._near(best[0]).items() if generator.random() < CHANGED_SHARE}
                yield Proposal(self._drawn(generator, changed, best[0]), {}, "near_best")
            else:
                yield next(sampled)

    def shares(self, best: Sequence[Params], ranked: int) -> Shares:
        """How often each draws the next trial, after so many ranked trials, of which `best` has parameters, best first."""
        if ranked < FEWEST_RANKED:
            return Shares(BELIEVED_SHARE, 0.0)
        near = self._near(best[0])
        weights = [place * math.log(NEXT_WEIGHT) for place in range(len(best))]
        sums = [
            [weight + log_density(one, params) for weight, params in zip(weights, best, strict=True)]
            for one in (self._believed, {path: near[path] for path in near if path in self._believed})
        ]
        highest = max(map(max, sums))
        belief, nearby = (sum(math.exp(value - highest) for value in values) for values in sums)
        return Shares(BELIEVED_SHARE * belief / (belief + nearby), BELIEVED_SHARE * nearby / (belief + nearby))

    def ranked(self, trials: Sequence[Trial]) -> tuple[list[Params], int]:
        """Parameters of the best trials, best first, and how many are ranked: by their last rung, and there by their scores."""
        rungs: dict[int, list[Score]] = {}
        for trial in trials[-MOST_IN_FRONTS:] if self._has_fronts else trials:
            own = [rung for rung in trial.scores if not trial.adoptions or rung <= trial.adoptions[0].rung]
            if own:
                rungs.setdefault(max(own), []).append(trial.scores[max(own)])
        count = sum(map(len, rungs.values()))
        most, best = min(MOST_BEST, math.ceil(count / BEST_PART)), list[int]()
        for rung in sorted(rungs, reverse=True):
            if len(best) < most:
                best += self._in_order(rungs[rung], most - len(best))
        params = {trial.number: trial.asked.params for trial in trials}
        return [params[number] for number in best], count

    def _in_order(self, scores: Sequence[Score], most: int) -> list[int]:
        if self._has_fronts:
            return [number for front in self._order.fronts(scores) for number in front][:most]
        return [score.trial for score in heapq.nsmallest(most, scores, key=self._order.key)]

    def _near(self, best: Params) -> dict[str, Neighbourhood]:
        return {path: neighbourhood(self._knobs[path], value, NEAR_WIDTH) for path, value in best.items()}

    def _drawn(self, generator: random.Random, near: Mapping[str, Neighbourhood], others: Params) -> Params:
        """Parameters near something, and of other knobs those of `others`; what was not active there is drawn evenly."""
        params: Params = {}
        for path, knob in self._space.knobs_in_order():
            share = generator.random()  # drawn for inactive knobs too
            if knob.is_active(params):
                params[path] = near[path].value(share) if path in near else others.get(path, at_share(knob, share))
        return params
