"""Which puzzles an evaluation may ask in symmetric forms, and in how many."""

from trm.data.format.manifest import TaskName
from trm.errors import ConfigError
from trm.tasks.choice import task_named


def require_forms(count: int, task: TaskName, where: str = "evaluation.forms") -> None:
    """ConfigError for more forms than puzzles of `task` have."""
    found = task_named(task)
    if count <= found.most_forms:
        return
    if found.most_forms > 1:
        remedy = f"set {where}: {found.most_forms} or fewer"
    elif found.has_votes:
        remedy = "leave it out: here augmentations vote (evaluation.votes)"
    else:
        remedy = f"set {where}: 1"
    raise ConfigError(f"{where} must be at most {found.most_forms} for {task} puzzles, got {count}", remedy=remedy)
