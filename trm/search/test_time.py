"""Settings at test time of a sweep's best weights: which passes are due, and which setting the winner has. Pure."""

from dataclasses import dataclass
from typing import Any, Literal

from trm.evaluation.test_time import on_front
from trm.search.findings.confirmed import best_run, ranked, winner
from trm.search.journal.events import TestTimeChosen, TestTimePassed, TestTimePoint
from trm.search.journal.trial import Trial
from trm.search.order import Order
from trm.search.state import SweepState
from trm.tasks.metrics import figure_named, is_share

EXACT = "exact_accuracy"


@dataclass(frozen=True)
class PassOrder:
    """A pass that is due."""

    trial: int
    checkpoint: str
    noise: float
    starts: Literal["own", "random"]
    rollouts: int
    steps: int
    forms: int = 1
    metric: str = EXACT
    """What settings are judged by."""
    mode: Literal["max", "min"] = "max"
    is_as_before: bool = False
    """Whether it goes on with passes of the time when all were judged by exact_accuracy."""

    @property
    def is_plain(self) -> bool:
        """Whether nothing is drawn, so that there is one rollout of each form."""
        return self.noise == 0 and self.starts == "own"

    def is_of(self, made: TestTimePassed) -> bool:
        """Whether a pass was this one."""
        return (made.noise, made.starts) == (self.noise, self.starts)

    @property
    def words(self) -> str:
        """What it tries."""
        drawn = f"noise {self.noise:g}, starts {self.starts}, {self.rollouts} rollouts"
        how = [drawn] if not self.is_plain else ["one answer a puzzle"] if self.forms == 1 else []
        how += [f"{self.forms} forms"] if self.forms > 1 else []
        return ", ".join([f"trial {self.trial}", *how, f"{self.steps} steps"])


def runs(state: SweepState) -> list[Trial]:
    """The trials whose weights are tried, the winner's first; of a driver that asks for none, those that were tried before.

    Networks that carry nothing from step to step have no settings, the winner's neither.
    """
    found = winner(state)
    if found is None:
        return []
    others = [trial if confirmed is None else best_run(state, trial.number) for trial, confirmed in ranked(state)]
    every = {run.number: run for run in (found.run, *others) if run is not None and run.checkpoint is not None}
    able = [run for run in every.values() if state.space.carries_latents(run.params)]
    if state.test_time is None:
        return [run for run in able if str(run.checkpoint) in state.test_time_passes]
    return able[: state.test_time.top]


def _of_winner(state: SweepState) -> Trial | None:
    """The winner, if its weights are tried."""
    found = winner(state)
    return next((run for run in runs(state)[:1] if found is not None and run is found.run), None)


def due_passes(state: SweepState) -> list[PassOrder]:
    """The passes that are left, in order."""
    section = state.test_time
    if section is None:
        return []
    orders = [
        PassOrder(
            run.number,
            str(run.checkpoint),
            noise,
            starts,
            section.rollouts,
            section.steps,
            section.forms,
            metric_of(state, str(run.checkpoint)),
            _order(state, str(run.checkpoint)).mode,
            is_as_before=_is_as_before(state, str(run.checkpoint)),
        )
        for run in runs(state)
        for noise, starts in section.passes
    ]
    return [order for order in orders if not any(map(order.is_of, passes_of(state, order.checkpoint)))]


def metric_of(state: SweepState, checkpoint: str) -> str:
    """What settings of a checkpoint's weights are judged by: the objective's metric, also where that is an end of its interval.

    Passes that were made before that was so are gone on with by exact_accuracy.
    """
    return EXACT if _is_as_before(state, checkpoint) else figure_named(state.space.objective.metric).name


def _told_metric(state: SweepState, checkpoint: str) -> str:
    """What a setting's score is called: that metric, of the setting's own answers, whatever steps the objective says."""
    return figure_named(metric_of(state, checkpoint)).of_any_steps.name


def _is_as_before(state: SweepState, checkpoint: str) -> bool:
    return any(one.metric is None for one in state.test_time_passes.get(checkpoint, []))


def _order(state: SweepState, checkpoint: str) -> Order:
    return Order("max" if _is_as_before(state, checkpoint) else state.space.objective.mode)


def passes_of(state: SweepState, checkpoint: str) -> list[TestTimePassed]:
    """The passes of a checkpoint's weights that are as the sweep asks for them now, or asked last.

    Those that draw the least come first, whichever ended first; passes of the time when they were made one by one, as they came.
    """
    section, made = state.test_time, state.test_time_passes.get(checkpoint, [])
    if not made:
        return []
    if section is None:
        sizes = _sizes(made[-1])
        found = [one for one in made if _sizes(one) == sizes]
    else:
        sizes, wanted = (section.rollouts, section.steps, section.forms), section.passes
        found = [one for one in made if _sizes(one) == sizes and (one.noise, one.starts) in wanted]
    if _is_as_before(state, checkpoint):
        return found
    return sorted(found, key=lambda one: (one.starts != "own", one.noise))


def _sizes(one: TestTimePassed) -> tuple[int, int, int]:
    return one.rollouts, one.steps, one.forms


def front(state: SweepState, checkpoint: str) -> tuple[list[TestTimePoint], set[int]]:
    """Every setting that was tried of a checkpoint's weights, and which of them none beats in score and FLOPs."""
    points, order = [point for one in passes_of(state, checkpoint) for point in one.points], _order(state, checkpoint)
    return points, on_front([(order.cost(point.score), point.inference_flops) for point in points])


def tried(state: SweepState, checkpoint: str) -> list[dict[str, Any]]:
    """Every setting that was tried of a checkpoint's weights, and whether it is on their front; JSON."""
    points, members = front(state, checkpoint)
    return [_told(point) | {"is_on_front": number in members} for number, point in enumerate(points)]


def _told(point: TestTimePoint) -> dict[str, Any]:
    return point.model_dump() | {"value": point.score}


def due_choice(state: SweepState, now: float) -> TestTimeChosen | None:
    """The winner's setting, once all passes of its weights are made; None where it is chosen already, or nothing is searched."""
    best = _of_winner(state)
    if state.test_time is None or best is None:
        return None
    checkpoint = str(best.checkpoint)
    if any(order.checkpoint == checkpoint for order in due_passes(state)):
        return None
    points, members = front(state, checkpoint)
    limit = state.test_time.max_inference_flops
    cheap = [points[number] for number in members if limit is None or points[number].inference_flops <= limit]
    order = _order(state, checkpoint)
    better = [point for point in cheap if _gains(point, order)]
    taken = min(better, key=lambda point: (order.cost(point.score), point.inference_flops), default=None)
    within = "" if limit is None else f" within {limit:g} FLOPs"
    metric = _told_metric(state, checkpoint)
    best_one = "the most accurate" if metric == EXACT else f"the best by {metric}"
    if taken is None:
        reason = f"no setting{within} gains more than chance over the plain answer"
    else:
        reason = f"{best_one}{within} of those that gain more than chance over the plain answer"
    chosen = TestTimeChosen(trial=best.number, checkpoint=checkpoint, setting=taken, tried=len(points), reason=reason, at=now)
    before = state.test_time_chosen.get(checkpoint)
    return None if before is not None and before.model_copy(update={"at": now}) == chosen else chosen


def _gains(point: TestTimePoint, order: Order) -> bool:
    """Whether what it gains over the plain answer is more than chance."""
    least = point.gain_low if order.mode == "max" else point.gain_high
    return least is not None and order.is_better(least, 0.0)


def chosen_setting(state: SweepState, run: Trial) -> TestTimePoint | None:
    """The setting that a run's configuration has; None: the plain one."""
    found = state.test_time_chosen.get(str(run.checkpoint))
    return None if found is None else found.setting


def notes(state: SweepState) -> list[dict[str, Any]]:
    """What was tried of each trial's weights, JSON: the plain answer, the front, and of the winner the setting that was chosen."""
    found = []
    for run in runs(state):
        checkpoint = str(run.checkpoint)
        if not (made := passes_of(state, checkpoint)):
            continue
        points, members = front(state, checkpoint)
        chosen, report = state.test_time_chosen.get(checkpoint), state.reports.get(run.number)
        own: dict[str, Any] = {
            "trial": run.number,
            "metric": _told_metric(state, checkpoint),
            "plain": {name: value for name, value in _told(made[0].plain).items() if not name.startswith("gain")},
            "front": sorted((_told(points[number]) for number in members), key=lambda point: float(point["inference_flops"])),
            "tried": len(points),
        }
        if chosen is not None:
            own |= {"chosen": None if chosen.setting is None else _told(chosen.setting), "reason": chosen.reason}
        if report is not None and report.at_test_time is not None:
            own["last_look"] = report.at_test_time.model_dump()
        found.append(own)
    return found


def sentence(state: SweepState) -> str | None:
    """What searching at test time came to, on a line; None where nothing was chosen."""
    best = _of_winner(state)
    chosen = None if best is None else state.test_time_chosen.get(str(best.checkpoint))
    if chosen is None:
        return None
    head = f"test time: of {chosen.tried} settings of trial {chosen.trial}'s weights"
    if (one := chosen.setting) is None:
        return f"{head} none{chosen.reason.removeprefix('no setting')}"
    setting = " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in one.evaluation.items()
    )
    metric = _told_metric(state, chosen.checkpoint)
    gain = _gain(metric, [one.gain, one.gain_low, one.gain_high])
    told = f"{head} {setting} is taken: {_score(metric, one.score)} on validation, {gain}"
    report = state.reports.get(chosen.trial)
    if report is None or report.at_test_time is None:
        return told
    look = report.at_test_time
    reached = _score(metric, look.test[metric])
    return f"{told}; on test {reached}, {_gain(metric, look.gain['test'])}"


def _score(metric: str, value: float) -> str:
    said = f"{value:.2%}" if is_share(metric) else f"{value:.4g}"
    return said if metric == EXACT else f"{metric} {said}"


def _gain(metric: str, values: list[Any]) -> str:
    has_points = is_share(metric)
    difference, low, high = (f"{100 * float(value):+.2f}" if has_points else f"{float(value):+.4g}" for value in values)
    return f"{difference}{' points' if has_points else ''} ({low} to {high}) over the plain answer"
