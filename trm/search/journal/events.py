"""What the journal holds: one frozen event a line. The search is a fold over them; MLflow and the tables read them too."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, field_validator

from trm.config.base import Frozen
from trm.config.step_costs import Stage, StepCosts
from trm.files.contained import relative_path
from trm.search.journal.priors import Prior
from trm.search.settings import Audit, Budget, Confirm, TestTime

InSweep = Annotated[str, AfterValidator(relative_path)]
"""A path below the sweep folder."""
LegStatus = Literal["completed", "diverged", "out_of_memory", "failed", "stalled", "lost", "yielded"]
"""`yielded`: it saved and stopped on the way; the same rung is started again, on the slots of a `LegWidened` before it."""
TrialStatus = Literal["running", "paused", "finished", "stopped", "diverged", "out_of_memory", "failed"]


class SweepStarted(Frozen):
    """First line of every journal."""

    event: Literal["sweep_started"] = "sweep_started"
    name: str
    seed: int
    space_digest: str
    """Digest of everything in the resolved sweep that may not change on resume."""
    versions: dict[str, str]
    """Installed versions of python, torch, ray, optuna, ... at the start."""
    rules: int = 1
    """By which its trials are resolved and ranked, see `trm.search.space.rules`."""
    priors: list[Prior] = Field(default_factory=list)
    """Earlier sweeps that it starts from (`--warm-start`)."""
    at: float
    """Unix seconds; every event has it."""


class DriverStarted(Frozen):
    """A driver took the lease; at a resume every leg open before it is void and is issued again as a new attempt."""

    event: Literal["driver_started"] = "driver_started"
    driver: str
    """host:pid."""
    fence: int
    """Grows with every driver; a checkpoint folder of an older fence may still be written to and is not trusted."""
    slots: int
    """Legs that run side by side."""
    budget: Budget | None = None
    """What this driver may spend; null: what the sweep began with."""
    confirm: Confirm | None = None
    """How this driver confirms winners; null: it does not."""
    audit: Audit | None = None
    """Which controls this driver lets run on; null: none."""
    test_time: TestTime | None = None
    """Which settings at test time this driver searches at the end; null: none."""
    gpus: float = 0.0
    """GPUs that a leg holds, of all its workers."""
    device_bytes: int | None = None
    """Memory that one worker of a leg may use, of the smallest device; null: unknown."""
    disk_bytes: int | None = None
    """Bytes that were free where the sweep folder lies; null: unknown."""
    space: dict[str, str] = Field(default_factory=dict)
    """Digests of what may not change on resume, section by section, and of the data set; empty: a journal of before."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Installed versions of the packages that this driver ran with; empty: a journal of before."""
    at: float


class DriverStopped(Frozen):
    """A driver left before the sweep's end, in order: a signal, a full disk. One that was killed leaves no such line."""

    event: Literal["driver_stopped"] = "driver_stopped"
    reason: str
    at: float


class SlotsChanged(Frozen):
    """Nodes joined or left."""

    event: Literal["slots_changed"] = "slots_changed"
    slots: int
    """Legs that run side by side from here on."""
    at: float


class PlaceAwaited(Frozen):
    """No leg runs, because what one takes is not there or not free; or legs can run again."""

    event: Literal["place_awaited"] = "place_awaited"
    what: str | None
    """What is waited for, in words; null: nothing any more."""
    at: float


class SpeedMeasured(Frozen):
    """A few steps were timed before the first trial (`fidelity: seconds` needs to know)."""

    event: Literal["speed_measured"] = "speed_measured"
    step_flops: float
    """Training FLOPs of one step of what was timed."""
    steps: int
    seconds: float
    at: float


class AskedStage(Frozen):
    """A stage of a trial's depth schedule."""

    first: int
    """Steps before it."""
    step_flops: float
    """Training FLOPs of one of its steps."""
    step_amount: float
    """Amount of the sweep's fidelity that one of its steps takes."""


class Asked(Frozen):
    """A new trial exists: its parameters were chosen."""

    event: Literal["asked"] = "asked"
    trial: int
    params: dict[str, Any]
    """Searched path -> value; conditional ones that are not active are absent."""
    used: dict[str, Any] = Field(default_factory=dict)
    """Searched path -> what the run uses in place of its parameter, where its length caps that."""
    source: Literal["start_point", "base", "sampler", "belief", "near_best", "replicate", "carried", "confirmation"]
    confirms: int | None = None
    """Trial whose configuration this one trains again, from scratch to the last rung; null: it belongs to the search."""
    prior: int | None = None
    """Earlier sweep whose configuration this is, by its place in `SweepStarted.priors`; null: of none."""
    digest: str
    """`RunConfig.network_digest()` of the resolved configuration, with the trial's seed left out."""
    seed: int
    """Seed of the run, from (sweep seed, trial)."""
    max_steps: int
    """Steps at the last rung."""
    step_flops: float
    """Training FLOPs of one optimizer step, in the mean where stages differ."""
    params_count: int
    """Trained parameters, puzzle embedding included."""
    step_amount: float | None = None
    """Amount of the sweep's fidelity that one step takes, in the mean where stages differ; null: `step_flops`."""
    stages: list[AskedStage] = Field(default_factory=list)
    """Stages whose steps cost apart; empty: all cost alike."""
    inference_flops: float | None = None
    """FLOPs of answering one puzzle, of a sweep whose objective is weighed against something; null: of any other."""
    memory_bytes: int = 0
    """Peak bytes of one training process as predicted by arithmetic alone; 0: unknown."""
    checkpoint_bytes: int = 0
    """Bytes of a complete checkpoint; 0: unknown."""
    sampler_notes: dict[str, Any] = Field(default_factory=dict)
    """What the sampler wants to see again with this trial (Optuna's system attributes, for instance a generation)."""
    at: float

    @property
    def flops(self) -> StepCosts:
        """Training FLOPs of its steps."""
        stages = [Stage(one.first, one.step_flops) for one in self.stages]
        return StepCosts(tuple(stages or [Stage(0, self.step_flops)]))

    @property
    def amounts(self) -> StepCosts:
        """What its steps take of the sweep's fidelity."""
        stages = [Stage(one.first, one.step_amount) for one in self.stages]
        return StepCosts(tuple(stages or [Stage(0, self.step_amount or self.step_flops)]))

    @property
    def shown_params(self) -> dict[str, Any]:
        """Searched path -> value as the run has it: what a person is shown."""
        return self.params | self.used


class LegStarted(Frozen):
    """A trial is sent from its last rung to the next."""

    event: Literal["leg_started"] = "leg_started"
    trial: int
    rung: int
    """Index of the rung the leg ends at, from 0."""
    attempt: int
    """Counts from 0 within (trial, rung)."""
    until_steps: int
    """Optimizer step at which the leg ends, counted from the trial's start."""
    from_checkpoint: InSweep | None
    """Checkpoint folder the leg continues from, relative to the sweep folder; null: from scratch."""
    expected_seconds: float | None = None
    """What the leg should take by the speeds learned so far; null: nothing is known yet."""
    at: float


class Spare(Frozen):
    """What there is for a leg that could have more workers, as its driver knows it."""

    idle: int
    """Slots whose places the driver holds, and no leg."""
    most: int
    """Slots that one leg may have."""
    workers: int
    """Workers a slot."""
    restart_seconds: float
    """What stopping a leg and starting it with more workers takes."""


class LegWidened(Frozen):
    """A running leg of the last rungs is told to save, and is started again with the workers of so many slots, which idle."""

    event: Literal["leg_widened"] = "leg_widened"
    trial: int
    rung: int
    attempt: int
    slots: int
    """Slots that it has then, those that it has had included."""
    spare: Spare
    """What that follows from, besides the journal."""
    at: float


class LegEnded(Frozen):
    """A leg returned; its checkpoint was durable before this line was written."""

    event: Literal["leg_ended"] = "leg_ended"
    trial: int
    rung: int
    attempt: int
    status: LegStatus
    objective: float | None = None
    """Value of the objective's metric on the rung's validation subset; null unless completed."""
    standard_error: float | None = None
    """Standard error of `objective` over the evaluated examples."""
    loss: float | None = None
    """Validation loss, the tie break."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Everything the evaluation and the loop report at the rung, by MLflow metric name; what is not a finite number is left out."""
    steps: int = 0
    """Optimizer steps since the trial's start."""
    train_flops: float = 0.0
    """Training FLOPs since the trial's start."""
    train_seconds: float = 0.0
    """Seconds of this leg spent in training steps."""
    eval_seconds: float = 0.0
    """Seconds of this leg spent in evaluation."""
    overhead_seconds: float = 0.0
    """Seconds of this leg spent on anything else (set-up, loading, checkpoints), as the leg sees it."""
    started_at: float | None = None
    """Unix seconds by the leg's own clock."""
    ended_at: float | None = None
    """Unix seconds by the leg's own clock, its checkpoint durable."""
    process: str | None = None
    """host:pid that trained (a gang's leader)."""
    node: str | None = None
    """Node or nodes of a leg that was lost or that stalled: address and the beginning of Ray's name for it; null where unknown."""
    with_node: bool = False
    """Whether it was lost together with its node, which says nothing of its trial."""
    checkpoint: InSweep | None = None
    """Checkpoint folder relative to the sweep folder."""
    peak_memory_bytes: int | None = None
    """Most memory the training process held, where that was measured."""
    torn: list[str] = Field(default_factory=list)
    """Checkpoints that it would have gone on from, had they not been damaged: what is wrong with each."""
    error: str | None = None
    """One line, when the leg did not complete."""
    at: float

    @field_validator("objective", "standard_error", "loss", mode="after")
    @classmethod
    def _finite_or_none(cls, value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    @field_validator("metrics", mode="after")
    @classmethod
    def _finite_only(cls, values: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in values.items() if math.isfinite(value)}


class Decided(Frozen):
    """What follows from the rung's results; `promote` and `start` need no line of their own, LegStarted is that line."""

    event: Literal["decided"] = "decided"
    trial: int
    rung: int
    status: TrialStatus
    """The trial's status from here on: paused, stopped, finished, diverged, out_of_memory, failed."""
    reason: str
    reopens: bool = False
    """True: stopped only because nothing better was left to do; a sweep that goes on with a larger budget may take it up again."""
    is_early: bool = False
    """The scheduler stops it below the last rung because others did better; with status running it goes on as a control."""
    at: float


class Adopted(Frozen):
    """A member of a population goes on from another's checkpoint, with changed knobs (population based training)."""

    event: Literal["adopted"] = "adopted"
    trial: int
    rung: int
    """Generation at whose end this happened."""
    source: int
    """Trial whose checkpoint of that rung it goes on from."""
    params: dict[str, Any]
    """All its searched knobs from here on."""
    at: float


class SpaceExhausted(Frozen):
    """The space has nothing new to offer: no further trial will be asked."""

    event: Literal["space_exhausted"] = "space_exhausted"
    reason: str
    too_small: str | None = None
    """What of the machines turned down all that is left, as a rule; null: nothing is left."""
    at: float


class TestTimePoint(Frozen):
    """A setting at test time, and what it scores on validation."""

    __test__ = False  # it is no test
    noise: float
    starts: Literal["own", "random"]
    select: str
    """By whom one rollout is chosen; empty: there is one."""
    forms: int = 1
    """Symmetric forms in which a puzzle is asked."""
    rollouts: int
    steps: int
    inference_flops: float
    """FLOPs of an answer."""
    exact_accuracy: float
    value: float | None = None
    """The metric that the pass is scored by; null: exact_accuracy."""
    low: float
    high: float
    """Its 95 % interval over puzzles."""
    gain: float | None = None
    """Of what none of its pass beats: mean difference to the plain answer, puzzle by puzzle."""
    gain_low: float | None = None
    gain_high: float | None = None
    """Its 95 % interval by the paired bootstrap."""

    @property
    def score(self) -> float:
        """What it is judged by."""
        return self.exact_accuracy if self.value is None else self.value

    @property
    def evaluation(self) -> dict[str, Any]:
        """What it is in a run's `evaluation`."""
        own = {"steps": self.steps, "rollouts": self.rollouts, "noise": self.noise, "starts": self.starts}
        own |= {"forms": self.forms} if self.forms > 1 else {}
        return own | ({"select": self.select} if self.select else {})


class TestTimePassed(Frozen):
    """A trial's weights were scored on all of validation with one noise and start, in every depth and breadth, by each selector."""

    __test__ = False
    event: Literal["test_time_passed"] = "test_time_passed"
    trial: int
    checkpoint: str
    """Whose weights they were."""
    noise: float
    starts: Literal["own", "random"]
    rollouts: int
    steps: int
    """The most that were tried."""
    forms: int = 1
    """The most symmetric forms that were tried."""
    metric: str | None = None
    """What settings are judged by; null: exact_accuracy, in a sweep that began with it whatever its objective is."""
    plain: TestTimePoint
    """One answer a puzzle without noise, after as many steps as the metric says, or else the trial's evaluation has."""
    points: list[TestTimePoint]
    seconds: float
    at: float


class TestTimeChosen(Frozen):
    """The setting at test time that the winner's configuration has."""

    __test__ = False
    event: Literal["test_time_chosen"] = "test_time_chosen"
    trial: int
    checkpoint: str
    setting: TestTimePoint | None
    """Null: the plain answer stays."""
    tried: int
    """Settings among which it was chosen."""
    reason: str
    at: float


class AtTestTime(Frozen):
    """What the chosen setting scores in the last look."""

    evaluation: dict[str, Any]
    """The setting."""
    validation: dict[str, float]
    test: dict[str, float]
    gain: dict[str, list[float]]
    """By split: mean difference of the metric to the plain answer and its 95 % interval, puzzle by puzzle."""
    metric: str = "exact_accuracy"
    """What the setting was judged by, of the answers that it gives."""


class Reported(Frozen):
    """A winner was scored on all of validation and, once, on test."""

    event: Literal["reported"] = "reported"
    trial: int
    rank: int
    validation: dict[str, float]
    test: dict[str, float]
    at_test_time: AtTestTime | None = None
    """The same with the setting that was chosen on validation; null: the plain answer stays."""
    at: float


class SweepEnded(Frozen):
    """Nothing is left to do, or a budget is spent."""

    event: Literal["sweep_ended"] = "sweep_ended"
    reason: str
    at: float


Event = Annotated[
    SweepStarted
    | DriverStarted
    | DriverStopped
    | SlotsChanged
    | PlaceAwaited
    | SpeedMeasured
    | Asked
    | SpaceExhausted
    | LegStarted
    | LegWidened
    | LegEnded
    | Decided
    | Adopted
    | TestTimePassed
    | TestTimeChosen
    | Reported
    | SweepEnded,
    Field(discriminator="event"),
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Validates and dumps one journal line's payload."""
