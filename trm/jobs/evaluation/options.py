"""What `evaluate.py` is asked for, and what of it is refused before anything is loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trm.config.files import apply_overrides, validated
from trm.config.training import EvaluationConfig
from trm.data.format.manifest import SplitName
from trm.errors import CheckpointError, ConfigError
from trm.evaluation.identifiers import Way
from trm.files.fetched_weights import Fetched
from trm.files.weight_files import META
from trm.jobs.evaluation.folder import check_folder, check_report
from trm.search.settings import Resources
from trm.training.weights import is_export

MOST_RESAMPLES = 1000
A_FRONT = "--front 0.1 0.3 1 --set evaluation.rollouts=16 --set evaluation.steps=16"


@dataclass(frozen=True)
class EvaluateOptions:
    """What the command line says."""

    path: str
    split: SplitName | None
    """Which puzzles; null: test, or where the data set has none, validation, or else what was trained on."""
    overrides: tuple[str, ...]
    config: str | None
    votes: int | None
    out: str | None
    storage: str
    stops_halted: bool = False
    """Whether puzzles stop at their first halt."""
    trained_on: str | None = None
    """What the weights were trained on, where they do not say it: a data set, arrays, or names of identifiers."""
    has_curve: bool = False
    """Whether every supervision step is reported."""
    folder: str | None = None
    """Where the files of the evaluation go."""
    has_submission: bool = False
    """Whether the answers that would be handed in are among them."""
    identifiers: tuple[Way, ...] = ()
    """Which other identifiers the network is told, a pass each."""
    is_raw: bool = False
    """Whether a checkpoint's weights are scored as they were trained, in place of their average."""
    resamples: int = 0
    """Other choices of augmentations that are tried for each number of them."""
    across: tuple[str, ...] = ()
    """Whose answers vote together: evaluations, or runs; the one in `path` is the first."""
    front: tuple[float, ...] = ()
    """Noises with which depth, breadth and selector are tried, a pass each."""
    fetched: Fetched | None = None
    """Where what lies in `path` was fetched from; null: it lay there."""
    has_all_steps: bool = False
    """Whether the answers after every supervision step are kept."""
    is_quick: bool = False
    """Whether one batch alone is scored."""
    forward_dtype: Literal["float32", "bfloat16"] | None = None
    """In which numbers the network computes; null: as it was trained."""
    has_speed: bool = False
    """Whether its speed is measured."""
    workers: int = 1
    """Workers that share the batches."""
    address: str | None = None
    """Of the Ray cluster that they are in; null: as the environment says, or processes of this machine."""
    gpus: float = 0.0
    """GPUs of each, in a cluster."""

    @property
    def origin(self) -> str:
        """Where the weights are from, for a report."""
        return str(Path(self.path).absolute()) if self.fetched is None else self.fetched.url


def check_options(options: EvaluateOptions) -> None:
    """What can be refused before anything is loaded."""
    path = Path(options.path)
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist", remedy="give the folder of a run, a sweep or a checkpoint, or a file of weights"
        )
    if is_foreign(path) and options.config is None:
        raise CheckpointError(
            f"{path} is a file, and other programs' files do not say what they were trained as", remedy="give --config CONFIG.yaml"
        )
    if is_foreign(path) and options.is_raw:
        raise ConfigError(f"--weights raw is of a checkpoint, which has both, and {path} has one kind", remedy="leave it out")
    validated(Resources, {"workers": options.workers, "gpus": options.gpus}, "command line")
    if options.workers == 1 and (options.gpus or options.address):
        raise ConfigError("--gpus and --address are for several workers, got one", remedy="drop them, or raise --workers")
    if options.votes is not None and options.votes < 1:
        raise ConfigError(f"--votes must be >= 1, got {options.votes}", remedy="use 1 to score without augmentation")
    if not 0 <= options.resamples <= MOST_RESAMPLES:
        raise ConfigError(f"--resample must be 0 to {MOST_RESAMPLES}, got {options.resamples}", remedy="use 20")
    if options.out is not None:
        check_report(Path(options.out), None if options.folder is None else Path(options.folder))
    if options.folder is not None:
        check_folder(Path(options.folder))
    elif options.has_submission:
        raise ConfigError("--submission writes submission.json into the folder of the evaluation", remedy="give --folder DIR")
    if options.has_submission and options.stops_halted:
        raise ConfigError("a submission is of answers after all steps, --stop-halted leaves them out", remedy="leave one out")
    if options.resamples and options.stops_halted:
        raise ConfigError("--resample is of votes after all steps, --stop-halted leaves them out", remedy="leave one out")
    if options.has_all_steps and options.folder is None:
        raise ConfigError("--steps all writes answers.parquet into the folder of the evaluation", remedy="give --folder DIR")
    if options.has_all_steps and options.stops_halted:
        raise ConfigError("--steps all is of every supervision step, --stop-halted leaves steps out", remedy="leave one out")
    if options.workers > 1 and (alone := [name for name, is_on in _of_one(options).items() if is_on]):
        raise ConfigError(f"{alone[0]} is of one worker, got --workers {options.workers}", remedy="leave one out")
    if (options.has_curve or options.front) and options.stops_halted:
        raise ConfigError(
            "--curve and --front need every supervision step of every puzzle, and --stop-halted leaves them out",
            remedy="leave out --stop-halted: a curve tells what stopping at each row's halt scores and saves",
        )
    apply_overrides({}, options.overrides)
    _check_front(options.front)


def _of_one(options: EvaluateOptions) -> dict[str, bool]:
    """What several workers have no use for."""
    return {"--quick": options.is_quick, "--speed": options.has_speed}


def _check_front(noises: tuple[float, ...]) -> None:
    """Each is an `evaluation.noise`, and none is no noise."""
    for noise in noises:
        validated(EvaluationConfig, {"noise": noise}, "--front, of which each is an evaluation.noise")
    if noises and min(noises) <= 0:
        told = ", ".join(f"{one:g}" for one in noises)
        raise ConfigError(
            f"--front is of noises above 0, got {told}", remedy=f"leave 0 out, it is scored beside them; for instance {A_FRONT}"
        )


def is_foreign(path: Path) -> bool:
    """Whether it is a file of another program; those of ours say what they are."""
    return path.is_file() and not (path.parent / META).exists() and not is_export(path)
