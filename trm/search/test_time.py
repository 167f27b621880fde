"""Settings at test time of a sweep's best weights: which passes are due, and which setting the winner has. Pure."""

from dataclasses import dataclass
from typing import Any, Literal

from trm.evaluation.test_time import on_front
from trm.search.findings.confirmed import best_run, ranked, winner
from trm.search.journal.events import TestTimeChosen, TestTimePassed, TestTimePoint
from trm.search.journal.trial import Trial
from trm.search.state import SweepState


@dataclass(frozen=True)
class PassOrder:
    """A pass that is due."""

    trial: int
    checkpoint: str
    noise: float
    starts: Literal["own", "random"]
    rollouts: int
    steps: int

    @property
    def is_plain(self) -> bool:
        """Whether nothing is drawn, so that there is one rollout."""
        return self.noise == 0 and self.starts == "own"

    def is_of(self, made: TestTimePassed) -> bool:
        """Whether a pass was this one."""
        return (made.noise, made.starts) == (self.noise, self.starts)

    @property
    def words(self) -> str:
        """What it tries."""
        how = "one answer a puzzle" if self.is_plain else f"noise {self.noise:g}, starts {self.starts}, {self.rollouts} rollouts"
        return f"trial {self.trial}, {how}, {self.steps} steps"


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
        PassOrder(run.number, str(run.checkpoint), noise, starts, section.rollouts, section.steps)
        for run in runs(state)
        for noise, starts in section.passes
    ]
    return [order for order in orders if not any(map(order.is_of, passes_of(state, order.checkpoint)))]


def passes_of(state: SweepState, checkpoint: str) -> list[TestTimePassed]:
    """The passes of a checkpoint's weights that are as the sweep asks for them now, or asked last."""
    section, made = state.test_time, state.test_time_passes.get(checkpoint, [])
    if section is None:
        return [one for one in made if (one.rollouts, one.steps) == (made[-1].rollouts, made[-1].steps)]
    sizes, wanted = (section.rollouts, section.steps), section.passes
    return [one for one in made if (one.rollouts, one.steps) == sizes and (one.noise, one.starts) in wanted]


def front(state: SweepState, checkpoint: str) -> tuple[list[TestTimePoint], set[int]]:
    """Every setting that was tried of a checkpoint's weights, and which of them none beats in accuracy and FLOPs."""
    points = [point for one in passes_of(state, checkpoint) for point in one.points]
    return points, on_front([(point.exact_accuracy, point.inference_flops) for point in points])


def tried(state: SweepState, checkpoint: str) -> list[dict[str, Any]]:
    """Every setting that was tried of a checkpoint's weights, and whether it is on their front; JSON."""
    points, members = front(state, checkpoint)
    return [point.model_dump() | {"is_on_front": number in members} for number, point in enumerate(points)]


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
    better = [point for point in cheap if point.gain_low is not None and point.gain_low > 0]
    taken = max(better, key=lambda point: (point.exact_accuracy, -point.inference_flops), default=None)
    within = "" if limit is None else f" within {limit:g} FLOPs"
    if taken is None:
        reason = f"no setting{within} gains more than chance over the plain answer"
    else:
        reason = f"the most accurate{within} of those that gain more than chance over the plain answer"
    chosen = TestTimeChosen(trial=best.number, checkpoint=checkpoint, setting=taken, tried=len(points), reason=reason, at=now)
    before = state.test_time_chosen.get(checkpoint)
    return None if before is not None and before.model_copy(update={"at": now}) == chosen else chosen


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
            "plain": made[0].plain.model_dump(exclude={"gain", "gain_low", "gain_high"}),
            "front": sorted((points[number].model_dump() for number in members), key=lambda point: float(point["inference_flops"])),
            "tried": len(points),
        }
        if chosen is not None:
            own |= {"chosen": None if chosen.setting is None else chosen.setting.model_dump(), "reason": chosen.reason}
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
    told = f"{head} {setting} is taken: {one.exact_accuracy:.2%} on validation, {_gain([one.gain, one.gain_low, one.gain_high])}"
    report = state.reports.get(chosen.trial)
    if report is None or report.at_test_time is None:
        return told
    look = report.at_test_time
    return f"{told}; on test {look.test['exact_accuracy']:.2%}, {_gain(look.gain['test'])}"


def _gain(values: list[Any]) -> str:
    difference, low, high = (f"{100 * float(value):+.2f}" for value in values)
    return f"{difference} points ({low} to {high}) over the plain answer"
