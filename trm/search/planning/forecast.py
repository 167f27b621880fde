"""What a sweep will take, before it starts: sampled configurations, rungs, compute, time, disk, and what is turned down."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trm.search.planning.preflight import Preflight, preflight
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.schedulers.rungs import Rungs
from trm.search.space.candidates import Candidate, Rejected, Resolver
from trm.search.space.enumeration import random_params, space_size
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

SHOWN = 20
DRAWS = 500
MOST_TRIALS = 1 << 20
NO_LIMIT = "no limit whose time is known; the figures are those of one trial"


@dataclass(frozen=True)
class Expected:
    """What so many trials are expected to take, all going well."""

    trials: int
    scored: tuple[float, ...]
    """Trials scored at each rung."""
    train_flops: float
    leg_seconds: float | None
    """Of all legs, side by side or not; null: no speed is known."""
    wall_seconds: float | None
    gpu_hours: float | None
    disk_bytes: float
    """Checkpoints, if none is deleted before the end."""


@dataclass(frozen=True)
class Forecast:
    """Everything that `--dry-run` says."""

    preflight: Preflight
    samples: Sequence[Candidate]
    rejected: Mapping[str, int]
    """Rule -> draws that break it."""
    accepted: int
    drawn: int
    expected: Expected
    ends_by: str
    """The limit that is expected to end the sweep."""
    kept_bytes: float
    """Checkpoints after the sweep."""


def forecast(survey: Survey, *, slots: int) -> Forecast:
    """The sweep of a space with `slots` trials side by side; ConfigError as `preflight`."""
    space, resolver, found = survey.space, survey.resolver, preflight(survey)
    generator = random.Random(derived_seed(space.seed, "forecast"))
    draws = [resolver.resolve(random_params(space, generator)) for _ in range(DRAWS)]
    accepted = [one for one in draws if isinstance(one, Candidate)]
    legs = _Legs(resolver, accepted or [found.cheapest, found.dearest])
    trials, ends_by = _length(space, lambda trials: expect(space, legs, trials, slots=slots))
    expected = expect(space, legs, trials, slots=slots)
    budget, keep = space.budget, space.keep
    mean_bytes = expected.disk_bytes / trials
    kept = min(keep.best or trials, trials) * mean_bytes
    return Forecast(
        preflight=found,
        samples=[*survey.starts, *accepted][:SHOWN],
        rejected=Counter(one.rule for one in draws if isinstance(one, Rejected)),
        accepted=len(accepted),
        drawn=len(draws),
        expected=expected,
        ends_by=ends_by if budget.target is None else f"{ends_by}, or a trial that reaches the target {budget.target:g}",
        kept_bytes=min(kept, keep.bytes) if keep.bytes is not None else kept,
    )


class _Legs:
    """Mean cost of a leg between two rungs, over configurations that are as likely as each other."""

    def __init__(self, resolver: Resolver, likely: Sequence[Candidate]) -> None:
        self._likely, self._speeds = likely, resolver.facts.speeds
        self.rungs = resolver.rungs
        self.checkpoint_bytes = sum(one.checkpoint_bytes for one in likely) / len(likely)
        self.is_timed = self._speeds.step_seconds(1.0) is not None
        self._means: dict[tuple[int, int | None], tuple[float, float]] = {}

    def mean(self, rung: int, before: int | None) -> tuple[float, float]:
        """Training FLOPs and seconds (0 when unknown) of a leg to `rung`, from the rung `before` or from the start."""
        if (rung, before) not in self._means:
            ends = [(one.flops, one.rung_steps[before] if before is not None else 0, one.rung_steps[rung]) for one in self._likely]
            flops = sum(own.between(first, last) for own, first, last in ends)
            seconds = sum(self._speeds.leg_seconds(own, first, last) or 0.0 for own, first, last in ends)
            self._means[rung, before] = flops / len(ends), seconds / len(ends)
        return self._means[rung, before]


def rung_seconds(one: Candidate, speeds: Speeds) -> list[float | None]:
    """Expected seconds from the start to each rung, the evaluations on the way included."""
    total, before, found = 0.0, 0, list[float | None]()
    for steps in one.rung_steps:
        seconds = speeds.leg_seconds(one.flops, before, steps)
        total, before = total + (seconds or 0.0), steps
        found.append(None if seconds is None else total)
    return found


def expect(space: SearchSpace, legs: _Legs, trials: int, *, slots: int) -> Expected:
    """What `trials` trials are expected to take."""
    scored = space.scheduler.expected_reach(legs.rungs, trials)
    flops, seconds, longest = 0.0, 0.0, 0.0
    for rung, before, count in _legs_ahead(space, legs.rungs, scored, trials):
        if count > 0:
            cost, taken = legs.mean(rung, before)
            flops += count * cost
            seconds += count * taken
            longest = max(longest, taken)
    gpus = space.resources.workers * space.resources.gpus
    return Expected(
        trials=trials,
        scored=scored,
        train_flops=flops,
        leg_seconds=seconds if legs.is_timed else None,
        wall_seconds=max(longest, seconds / max(1, min(slots, trials))) if legs.is_timed else None,
        gpu_hours=seconds * gpus / 3600 if legs.is_timed and gpus else None,
        disk_bytes=(trials + _confirmations(space, trials)) * legs.checkpoint_bytes,
    )


def _legs_ahead(space: SearchSpace, rungs: Rungs, scored: Sequence[float], trials: int) -> Iterator[tuple[int, int | None, float]]:
    """(rung, the one before or null, how many legs): the search's own, the controls of an audit, the confirmations."""
    for rung, (reaching, starting) in enumerate(zip(scored, space.scheduler.expected_starts(rungs, trials), strict=True)):
        yield rung, None, starting
        yield rung, rung - 1, reaching - starting
    if space.audit is not None:
        for rung, (here, there) in enumerate(itertools.pairwise(scored)):
            yield rungs.last, rung, space.audit.share * (here - there)
    yield rungs.last, None, _confirmations(space, trials)


def _confirmations(space: SearchSpace, trials: int) -> int:
    """Confirmations, if no candidate gets more than its first seeds."""
    return min(space.confirm.top, trials) * space.confirm.seeds if space.confirm is not None else 0


def _length(space: SearchSpace, spent: Callable[[int], Expected]) -> tuple[int, str]:
    """How many trials there will be, and the limit that ends them: the one reached first."""
    budget = space.budget
    limits: list[tuple[str, float | None, Callable[[Expected], float | None]]] = [
        ("budget.trials", budget.trials, lambda one: one.trials),
        ("budget.train_flops", budget.train_flops, lambda one: one.train_flops),
        ("budget.gpu_hours", budget.gpu_hours, lambda one: one.gpu_hours),
        ("budget.wall_clock_seconds", budget.wall_clock_seconds, lambda one: one.wall_seconds),
        ("the size of the space", space_size(space) * space.replicates, lambda one: one.trials),
    ]

    def first_broken(trials: int) -> str | None:
        one = spent(trials)
        broken = [name for name, limit, of in limits if limit is not None and (value := of(one)) is not None and value > limit]
        return broken[0] if broken else None

    least, most = 1, 2
    while (ends_by := first_broken(most)) is None:
        if most >= MOST_TRIALS:
            return 1, NO_LIMIT
        least, most = most, most * 2
    while most - least > 1:
        middle = (least + most) // 2
        broken = first_broken(middle)
        least, most, ends_by = (middle, most, ends_by) if broken is None else (least, middle, broken)
    return least, ends_by
