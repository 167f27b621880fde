"""What a sweep will take, before it starts: sampled configurations, rungs, compute, time, disk, and what is turned down."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trm.search.order import Order, Score, loss_kinds
from trm.search.planning.drawn_scores import EXAMPLES, DrawnScores, unlike
from trm.search.planning.preflight import Preflight, preflight
from trm.search.planning.rehearsal import Costs, Rehearsal, Rehearsed, Setting, Standing, Work, climb_before, rehearsals
from trm.search.planning.survey import Survey
from trm.search.resources.speeds import Speeds
from trm.search.samplers.coordinates import Coordinates
from trm.search.space.candidates import Candidate, Rejected, Resolver, scheduler_of
from trm.search.space.enumeration import random_params, space_size
from trm.search.space.rules import RULES
from trm.search.space.space import SearchSpace
from trm.seeds import derived_seed

SHOWN = 20
DRAWS = 500
MOST_TRIALS = 1 << 20
MOST_PLAYED = 256
"""Trials of a rehearsal; a longer sweep is taken for so many times as long a one."""
PLAYED = 256
"""Trials of all rehearsals of a sweep: the mean of its compute is then known to about 3 %."""
RANGED, MOST_RANGED = 20, 64
"""Rehearsals from which a range is told, and trials of each."""
COUNTS = ("budget.trials", "the size of the space")
"""Limits that say how many trials there are."""
NEAR, NEAR_DRAWS = 0.5, 100
"""Of a sampler that learns, share of the trials that are near the first one, and draws that stand for them."""
STEP, MOVED = 0.15, 0.5
"""Standard deviation of their distance from it, as a share of a knob's range, and the share of knobs that differ."""
NO_LIMIT = "no limit whose time is known; the figures are those of one trial"


@dataclass(frozen=True)
class Expected:
    """What so many trials are expected to take, all going well."""

    trials: int
    scored: tuple[float, ...]
    """Trials scored at each rung."""
    train_flops: float
    train_flops_range: tuple[float, float]
    """In which it lies in eight of ten rehearsals."""
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
    """Rule, in the words of one draw where they have values in them -> draws that break it."""
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
    starts = [*survey.starts, *([survey.base] if isinstance(survey.base, Candidate) else [])]
    near = _near(starts[0], space, resolver) if starts and climb_before(space) > 1 else []
    plays = _Plays(space, resolver, starts, accepted or [found.cheapest, found.dearest], near, slots=slots)
    trials, ends_by = _length(space, plays.expect)
    expected = plays.expect(trials)
    budget, keep = space.budget, space.keep
    mean_bytes = expected.disk_bytes / trials
    kept = min(keep.best or trials, trials) * mean_bytes
    return Forecast(
        preflight=found,
        samples=[*starts, *accepted][:SHOWN],
        rejected=_rules_broken([one for one in draws if isinstance(one, Rejected)]),
        accepted=len(accepted),
        drawn=len(draws),
        expected=expected,
        ends_by=ends_by if budget.target is None else f"{ends_by}, or a trial that reaches the target {budget.target:g}",
        kept_bytes=min(kept, keep.bytes) if keep.bytes is not None else kept,
    )


def _near(start: Candidate, space: SearchSpace, resolver: Resolver) -> list[Candidate]:
    """Configurations near the first: their costs are more like those that a learning sampler asks for than the whole space's."""
    cube, draw = Coordinates(dict(space.knobs_in_order())), np.random.default_rng(derived_seed(space.seed, "forecast near"))
    point = cube.point(start.params)
    moves = [cube.params(cube.moved(point, draw, scale=STEP, share=MOVED)) for _ in range(NEAR_DRAWS)]
    found = [resolver.resolve(cube.searched(params)) for params in moves]
    return [one for one in found if isinstance(one, Candidate)]


def _rules_broken(rejected: Sequence[Rejected]) -> dict[str, int]:
    times, texts = Counter(one.kind for one in rejected), dict[str, set[str]]()
    for one in rejected:
        texts.setdefault(one.kind, set()).add(one.rule)
    first = {one.kind: one.rule for one in reversed(rejected)}
    return {f"{first[kind]}{', for instance' if len(texts[kind]) > 1 else ''}": count for kind, count in times.items()}


class _Plays:
    """Sweeps of a space, rehearsed: the start points first, then configurations as likely as each other, or near the first."""

    def __init__(
        self,
        space: SearchSpace,
        resolver: Resolver,
        starts: Sequence[Candidate],
        likely: Sequence[Candidate],
        near: Sequence[Candidate],
        *,
        slots: int,
    ) -> None:
        self._space, self._starts, self._likely, self._near = space, starts, likely, near
        self._checkpoint_bytes = sum(one.checkpoint_bytes for one in likely) / len(likely)
        self._is_timed = resolver.facts.speeds.step_seconds(1.0) is not None
        order = Order.of(space.objective.mode, loss_kinds(space.search, space.base), RULES)
        examples = likely[0].config.evaluation.max_examples or EXAMPLES
        self._setting = Setting(space, scheduler_of(space), order, slots, Costs(resolver.rungs, resolver.facts.speeds), examples)
        self._known: dict[int, Rehearsed] = {}
        self._ranges: dict[int, tuple[float, float]] = {}

    def expect(self, trials: int) -> Expected:
        """What `trials` trials are expected to take."""
        space, seen, confirmations = self._space, self._rehearsed(trials), _confirmations(self._space, trials)
        legs = [self._setting.costs.leg(one, len(seen.scored) - 1, None) for one in self._likely]
        whole = sum(legs, Work())
        after = confirmations / len(legs) * whole
        after += (space.audit.share if space.audit is not None else 0.0) * seen.audited
        work, gpus = seen.work + after, space.resources.workers * space.resources.gpus
        slots = max(1, min(self._setting.slots, max(trials, confirmations)))
        return Expected(
            trials=trials,
            scored=seen.scored,
            train_flops=work.flops,
            train_flops_range=self._range(trials, work.flops),
            leg_seconds=work.seconds if self._is_timed else None,
            wall_seconds=seen.clock + after.seconds / slots if self._is_timed else None,
            gpu_hours=work.seconds * gpus / 3600 if self._is_timed and gpus else None,
            disk_bytes=(trials + confirmations) * self._checkpoint_bytes,
        )

    def _range(self, trials: int, flops: float) -> tuple[float, float]:
        """Where what is expected lies in most rehearsals, as far as short ones tell."""
        played = min(trials, MOST_RANGED)
        if played not in self._ranges:
            plays = sorted(self._play(played, number).work.flops for number in range(RANGED))
            mean, outside = sum(plays) / RANGED, RANGED // 10
            self._ranges[played] = plays[outside] / mean, plays[-1 - outside] / mean
        low, high = self._ranges[played]
        return min(1.0, low) * flops, max(1.0, high) * flops

    def _rehearsed(self, trials: int) -> Rehearsed:
        played = min(trials, MOST_PLAYED)
        if played not in self._known:
            self._known[played] = Rehearsed.mean([self._play(played, number) for number in range(rehearsals(played, PLAYED))])
        return self._known[played].scaled(trials / played)

    def _play(self, trials: int, number: int) -> Rehearsed:
        generator = random.Random(derived_seed(self._space.seed, "rehearsal", number))
        drawn = [generator.choice(self._near if self._near and generator.random() < NEAR else self._likely) for _ in range(trials)]
        nobody: list[tuple[Score, ...]] = [()] * len(self._setting.costs.rungs.amounts)
        climb = unlike(climb_before(self._space), generator)
        scores = DrawnScores(self._setting.order, nobody, self._setting.examples, generator, climb=climb)
        return Rehearsal(self._setting, Standing(), [*self._starts, *drawn][:trials], scores).play()


def rung_seconds(one: Candidate, speeds: Speeds) -> list[float | None]:
    """Expected seconds from the start to each rung, the evaluations on the way included."""
    total, before, found = 0.0, 0, list[float | None]()
    for steps in one.rung_steps:
        seconds = speeds.leg_seconds(one.flops, before, steps)
        total, before = total + (seconds or 0.0), steps
        found.append(None if seconds is None else total)
    return found


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

    counts = [(limit, name) for name, limit, _ in limits if name in COUNTS and limit is not None and limit < MOST_TRIALS]
    if counts:
        limit, name = min(counts, key=lambda one: one[0])
        if first_broken(int(limit)) is None:
            return int(limit), name
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
