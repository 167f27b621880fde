"""The exception tree: what a person did wrong, what a trial met, and what stops a job.

TRMError
├── InputError (ValueError)     a person can mend it: rule, value, remedy; exit code 2
│   ├── ConfigError             a run configuration or a search space
│   ├── DatasetError            a recipe, a manifest, a shard
│   ├── CheckpointError         a checkpoint that is foreign, or of another configuration
│   │   ├── TornCheckpoint      a checkpoint that is not whole: an older one will do
│   │   └── StoreSilent         an object store that does not answer now; passes by itself, exit code 130
│   ├── ContractError           a network, a loss, a task, a metric ... that does not keep its door's contract (trm.contracts)
│   ├── SweepError              a sweep folder: name taken, nothing to resume
│   │   └── SweepHeld           held by a living driver
│   │       └── SweepDriven     by one elsewhere; passes by itself, exit code 130
│   ├── QuestionError           a puzzle that somebody poses to a network (trm.serving)
│   ├── FolderError             a link or a name in a folder that leads out of it
│   └── ResourceError           more CPUs, GPUs or disk than there is
├── TrialError                  ends one trial with a status of its own; the sweep goes on
│   ├── DivergedError           a loss that is no longer a finite number
│   └── OutOfMemoryError        the device refused an allocation
└── InterruptedRun              asked to stop (signal); resumable; exit code 130
    └── TerminatedRun           by SIGTERM or SIGHUP, wherever the job was; Ctrl-C is a KeyboardInterrupt there
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130
MAX_MESSAGE = 3000
"""Characters of what a person is told at once."""


class TRMError(Exception):
    """Root of every error that this project raises on purpose."""


class InputError(TRMError, ValueError):
    """What a person gave cannot be used. The message says rule, value and remedy."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        self.problem = _bearable(problem)
        self.remedy = _bearable(remedy)
        super().__init__(f"{self.problem}; {self.remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_input_error, (type(self), self.problem, self.remedy))


def _bearable(text: str) -> str:
    """The text, its middle left out where somebody's value made it too long to read."""
    if len(text) <= MAX_MESSAGE:
        return text
    return f"{text[: MAX_MESSAGE // 2]} ... {text[-MAX_MESSAGE // 2 :]}"


def _rebuild_input_error(kind: "type[InputError]", problem: str, remedy: str) -> "InputError":
    return kind(problem, remedy=remedy)


class ConfigError(InputError):
    """A run configuration or a search space breaks a rule."""


class DatasetError(InputError):
    """A recipe, a manifest or a shard cannot be used."""


class CheckpointError(InputError):
    """A checkpoint is torn, foreign, or belongs to another configuration."""


class TornCheckpoint(CheckpointError):  # it is what the checkpoint is
    """A checkpoint is not whole: a file is missing, cut or changed. What goes on from it takes an older one, or begins anew."""


class StoreSilent(CheckpointError):  # it is how it is
    """An object store does not answer, or is too busy to: the same command may do later."""


class ContractError(InputError):
    """A member of a door, of this project or a person's own, does not keep what the door's contract asks."""


class SweepError(InputError):
    """A sweep folder cannot be started, resumed or shared."""


class SweepHeld(SweepError):  # it is how it is
    """A living driver has the folder: what it says of the last try stays its own."""


class SweepDriven(SweepHeld):
    """A living driver elsewhere has the sweep: the same command may do when that has ended."""


class QuestionError(InputError):
    """A puzzle that is posed to a network breaks a rule: of its form, of the network, or its own."""


class FolderError(InputError):
    """A link, or a name in a file, leads out of the folder that it belongs to; or something that is no file stands for one."""


class ResourceError(InputError):
    """More CPUs, GPUs, memory or disk is asked for than there is."""


class TrialError(TRMError):
    """A trial cannot go on; it ends with a status of its own."""

    status = "failed"


class DivergedError(TrialError):
    """The training loss is no longer a finite number."""

    status = "diverged"


class OutOfMemoryError(TrialError):
    """The device refused an allocation."""

    status = "out_of_memory"


class InterruptedRun(TRMError):
    """Somebody asked the job to stop; what is on disk can be resumed."""


class TerminatedRun(InterruptedRun):
    """SIGTERM or SIGHUP came where nobody looks for it; the message is its name."""
