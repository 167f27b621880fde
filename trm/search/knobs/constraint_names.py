"""The names that constraints may use: every leaf of the run configuration, and what follows from it."""

from collections import Counter
from typing import Any, Protocol

from trm.config.run import RunConfig
from trm.search.knobs.knobs import leaf_fields


class Cost(Protocol):
    """What the search must know of a configuration's cost; `trm.models.cost.RunCost` is one."""

    @property
    def step_flops(self) -> float:
        """Training FLOPs of one optimizer step."""

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


_SHORT = Counter(path.split(".")[-1] for path in leaf_fields())
LEAVES = {
    (path.split(".")[-1] if _SHORT[path.split(".")[-1]] == 1 else path.replace(".", "_")): path
    for path in leaf_fields()
    if not path.startswith(("data.", "tracking."))
    and path not in ("training.epochs", "training.steps", "training.train_flops", "seed")
}
"""Name -> path; a leaf whose last word is not unique is named with its section: `evaluation_steps`."""
PLAIN_DERIVED = frozenset({"head_size", "depth"})
COST_DERIVED = frozenset(
    {"step_flops", "step_gflops", "inference_flops", "params_count", "max_steps", "memory_bytes", "checkpoint_bytes"}
)
KNOWN_NAMES = frozenset(LEAVES) | PLAIN_DERIVED | COST_DERIVED


def names_of(config: RunConfig) -> dict[str, Any]:
    """Value of every leaf name, defaults that follow from another knob resolved, and of `head_size` and `depth` (network calls)."""
    model, evaluation = config.model, config.evaluation
    sections = {"model": model, "optim": config.optim, "training": config.training, "evaluation": evaluation}
    values = {name: getattr(sections[section], leaf) for name, (section, leaf) in _SPLIT.items()}
    values["puzzle_emb_ndim"], values["puzzle_emb_len"] = model.puzzle_ndim, model.puzzle_len
    values["evaluation_steps"] = evaluation.steps or model.halt_max_steps
    values["batch_size"] = evaluation.batch_size or config.training.global_batch_size
    values["head_size"] = model.hidden_size // model.num_heads
    values["depth"] = model.recursion.depth
    return values


_SPLIT = {name: (path.split(".")[0], path.split(".")[1]) for name, path in LEAVES.items()}
