"""What an evaluation opens: the weights, as what they are scored, the data set, and which of its splits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm.config.files import apply_overrides, load_run_config, validated
from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest, SplitName, read_manifest
from trm.errors import CheckpointError, ConfigError
from trm.jobs.evaluation.data import DataAsked, on_data, require_there
from trm.jobs.evaluation.options import A_FRONT, EvaluateOptions, is_foreign
from trm.tasks.choice import task_named
from trm.tasks.ensure import DataSummary, ensure_dataset, summary_of, task_of_data
from trm.tasks.forms import require_forms
from trm.tasks.metrics import require_figures
from trm.tasks.places import data_beside, names_data, refuse_remote
from trm.training.weights import Weights, read_foreign_weights, read_weights

Say = Callable[[str], None]

MAY_CHANGE = {"data", "evaluation", "start"}
"""Sections of a checkpoint's configuration that scoring may replace, or that mean nothing to it."""


@dataclass(frozen=True)
class Opened:
    """Weights that fit a data set."""

    weights: Weights
    """For the data set's identifiers."""
    config: RunConfig
    """As what they are scored."""
    folder: str
    """The data set's."""
    manifest: Manifest
    split: SplitName


def opened(options: EvaluateOptions, say: Say) -> Opened:
    """The weights and the data that are asked for. Raises InputError for what a person can mend."""
    path, root = Path(options.path), str(Path(options.storage) / "data")
    own = None if is_foreign(path) else read_weights(path, is_raw=options.is_raw)
    config = _asked(options, {} if own is None else own.config.model_dump(mode="json"))
    if own is not None:
        _require_same_network(path, own.config, config)
    _require_rollouts(options, config)
    is_chosen = own is None or config.data != own.config.data
    if own is not None and options.config is None and not names_data(options.overrides):
        refuse_remote(config.data, path)
        config = config.model_copy(update={"data": data_beside(config.data, path, own.data_hash, say=say)})
    require_there(config.data, options.origin)
    split = options.split or first_there(summary_of(config.data), say, chooses=bool(options.front))
    task = task_of_data(config.data, split)
    _require_votes(options, task, config)
    require_forms(config.evaluation.forms, task)
    if "evaluation.metrics" in (override.partition("=")[0].strip() for override in options.overrides):
        require_figures(config, task, summary_of(config.data).parts_in(split))
    folder = ensure_dataset(config.data, root, say)
    manifest = read_manifest(folder)
    weights = read_foreign_weights(path, config, manifest.shape) if own is None else own
    return Opened(on_data(weights, DataAsked(folder, manifest, is_chosen, options.trained_on)), config, folder, manifest, split)


def _require_votes(options: EvaluateOptions, task: str, config: RunConfig) -> None:
    """ConfigError where votes, or what is made of them, are asked of puzzles that have none."""
    wanted = {"--submission": options.has_submission, "--resample": options.resamples, "--votes": options.votes is not None}
    asked = [name for name, is_asked in wanted.items() if is_asked]
    if asked and not task_named(task).has_votes:
        raise ConfigError(
            f"{asked[0]} is of ARC tasks, of which answers vote, {config.data.folder or config.data.recipe} holds {task} puzzles",
            remedy=f"leave out {' and '.join(asked)}",
        )


def _require_rollouts(options: EvaluateOptions, config: RunConfig) -> None:
    """ConfigError for a front of one rollout, or for several that would have to stop."""
    count = config.evaluation.breadth
    if options.front and count < 2:
        raise ConfigError(
            f"--front is of several rollouts, got evaluation.rollouts {count}",
            remedy=f"add --set evaluation.rollouts=16, for instance {A_FRONT}",
        )
    own = config.evaluation
    told = f"{own.rollouts} rollouts" if own.rollouts > 1 else f"{own.forms} forms"
    if count > 1 and options.stops_halted:
        raise ConfigError(
            f"--stop-halted is of one answer a puzzle, got {told}",
            remedy="leave it out; evaluation.select=first_halt chooses who wants to halt first",
        )


def first_there(data: DataSummary, say: Say, *, chooses: bool = False) -> SplitName:
    """The split that is scored where none is asked for; says so when it is not test. What chooses looks at validation first."""
    wanted: tuple[SplitName, ...] = ("validation", "test", "train") if chooses else ("test", "validation", "train")
    split = next(name for name in wanted if name in data.splits)
    if split != wanted[0]:
        say(f"{data.source} has no {wanted[0]} puzzles: {split} is scored{', which was trained on' if split == 'train' else ''}")
    return split


def _asked(options: EvaluateOptions, values: dict[str, Any]) -> RunConfig:
    """The configuration to score by: that of `--config`, or else `values`, with what `--set` replaces.

    Of a front it has the first noise, with which its rollouts differ.
    """
    overrides = (*options.overrides, *(f"evaluation.noise={noise}" for noise in options.front[:1]))
    if options.config is not None:
        return load_run_config(options.config, overrides)
    return validated(RunConfig, apply_overrides(values, overrides), f"the configuration of {options.path}")


def _require_same_network(path: Path, there: RunConfig, asked: RunConfig) -> None:
    """CheckpointError that names the first value in which the checkpoint is of another configuration."""
    one, other = (_flat(config.model_dump(mode="json", exclude=MAY_CHANGE)) for config in (there, asked))
    for key, value in one.items():
        if other[key] != value:
            raise CheckpointError(
                f"a checkpoint is scored as what it was trained as: {path} has {key} {value!r}, {other[key]!r} is asked for",
                remedy="change evaluation.* and data.* only; evaluation.steps gives it more or fewer supervision steps",
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
