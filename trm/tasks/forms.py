"""Which puzzles an evaluation may ask in symmetric forms, and in how many."""

from trm.data.format.manifest import TaskName
from trm.errors import ConfigError
from trm.tasks.choice import task_named


def require_forms(count: int, task: TaskName) -> None:
    """ConfigError for more forms (`evaluation.forms`) than puzzles of `task` have."""
    found = task_named(task)
    if count <= found.most_forms:
        return
    if found.most_forms > 1:
        remedy = f"set evaluation.forms: {found.most_forms} or fewer"
    elif found.has_votes:
        remedy = "leave it out: here augmentations vote (evaluation.votes)"
    else:
        remedy = "set evaluation.forms: 1"
    raise ConfigError(f"evaluation.forms must be at most {found.most_forms} for {task} puzzles, got {count}", remedy=remedy)
