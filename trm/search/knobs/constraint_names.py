"""The names that constraints may use: every leaf of the run configuration, and what follows from it."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

from trm.config.leaves import exists, imported_leaves, leaves, reader, tags_in
from trm.config.run import RunConfig
from trm.config.step_costs import Share
from trm.config.unions import members_added


class Cost(Protocol):
    """What the search must know of a configuration's cost; `trm.models.cost.RunCost` is one."""

    @property
    def step_flops(self) -> float:
        """Training FLOPs of one optimizer step, in the mean of the whole run."""

    @property
    def stage_flops(self) -> Sequence[Share]:
        """Training FLOPs of one optimizer step, part by part of the run; one part where all steps cost alike."""

    @property
    def inference_flops(self) -> float:
        """FLOPs of answering one puzzle with the supervision steps of the evaluation."""

    @property
    def params_count(self) -> int:
        """Trained parameters, puzzle embedding included."""

    @property
    def memory_bytes(self) -> int:
        """Predicted peak bytes of one training process."""

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of a complete checkpoint."""


NOT_NAMED = ("training.epochs", "training.steps", "training.train_flops", "seed")
"""Leaves that a trial gets from the sweep."""
UNNAMED_SECTIONS = ("data.", "tracking.", "start.")
"""Where things lie: of no interest to a rule between knobs."""
PLAIN_DERIVED = frozenset({"head_size", "depth"})
COST_DERIVED = frozenset(
    {"step_flops", "step_gflops", "inference_flops", "params_count", "max_steps", "memory_bytes", "checkpoint_bytes"}
)


def known_names() -> frozenset[str]:
    """Every name that a constraint may use."""
    return frozenset(leaf_names()) | PLAIN_DERIVED | COST_DERIVED


def leaf_names() -> dict[str, str]:
    """Name -> path of every leaf: its last word, or where that is not unique, section and word (`evaluation_steps`).

    What imported modules add takes no name away from what is there without them.
    """
    return _names(members_added())


def short_name(path: str) -> str:
    """A knob as constraints call it; one of where things lie, which they do not name, by its path with `_` (`start_from`)."""
    return _short_names(members_added()).get(path) or (path.replace(".", "_") if path in leaves() else path.split(".")[-1])


@cache
def _short_names(added: int) -> dict[str, str]:
    return {path: name for name, path in _names(added).items()}


@cache
def _names(added: int) -> dict[str, str]:
    own = {path: leaf for path, leaf in leaves().items() if path not in NOT_NAMED and not path.startswith(UNNAMED_SECTIONS)}
    built_in = [path for path in own if path not in imported_leaves()]
    words = Counter(path.split(".")[-1] for path in leaves() if path in built_in or path not in own)
    names = {_short(path) if words[path.split(".")[-1]] == 1 else path.replace(".", "_"): path for path in built_in}
    for path in own:
        if path not in built_in:
            names[path.replace(".", "_") if _short(path) in names else _short(path)] = path
    return names


def _short(path: str) -> str:
    """The last word of a path; of a tag called `type` the section too, for alone it says nothing."""
    return path.replace(".", "_") if path.split(".")[-1] == "type" else path.split(".")[-1]


@cache
def _readers(tags: tuple[tuple[str, Any], ...], added: int) -> tuple[tuple[str, Callable[[RunConfig], Any]], ...]:
    """Name of every leaf that members with these tags have, and what reads it."""
    chosen = dict(tags)
    return tuple((name, reader(path)) for name, path in leaf_names().items() if exists(path, chosen))


def names_of(config: RunConfig) -> dict[str, Any]:
    """Value of every leaf name, defaults that follow from another knob resolved, and of `head_size` and `depth` (network calls).

    Without the names of fields that the configuration's members do not have.
    """
    model, evaluation = config.model, config.evaluation
    values = {name: read(config) for name, read in _readers(tuple(tags_in(config).items()), members_added())}
    values["puzzle_emb_ndim"], values["puzzle_emb_len"] = model.puzzle_ndim, model.puzzle_len
    values["evaluation_steps"] = evaluation.steps or model.halt_max_steps
    values["batch_size"] = evaluation.batch_size or config.training.global_batch_size
    if "num_heads" in values:
        values["head_size"] = model.hidden_size // values["num_heads"]
    values["depth"] = model.recursion.depth
    return values
