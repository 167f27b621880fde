"""`python -m trm.contract my_lab.nets`: whether what a module of one's own adds keeps what its doors ask.

Exit code 0: all of it; 2: not, or the module cannot be used, with a line for each rule that it breaks.
"""

import argparse
import functools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trm.config.architectures import ImportedNetwork
from trm.config.imports import honour, members_of
from trm.config.losses import ImportedLoss
from trm.config.optimizers import ImportedOptimizer
from trm.contracts import losses, metrics, networks, optimizers, tasks
from trm.errors import EXIT_DONE, EXIT_INPUT, ContractError
from trm.evaluation.metrics import Metric
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.task import Task
from trm.terminal.command_line import run_job, show

Check = Callable[[Any], None]
OF_PUBLISHED_NETWORKS = (networks.check_published_names,)
"""What a network of one's own need not keep: nobody published weights of it."""


def checks_of(member: Any) -> tuple[Check, ...]:
    """What a member has to keep, by the door that it stands in."""
    if isinstance(member, Metric):
        return metrics.CHECKS
    if issubclass(member, Task):
        return tasks.CHECKS
    if issubclass(member, ImportedOptimizer):
        return optimizers.CHECKS
    if issubclass(member, ImportedLoss):
        return losses.CHECKS
    assert issubclass(member, ImportedNetwork), "there are no other doors"
    return tuple(check for check in networks.CHECKS if check not in OF_PUBLISHED_NETWORKS)


def broken(member: Any, checks: tuple[Check, ...]) -> Iterator[tuple[str, str | None]]:
    """Each check's name, and how `member` breaks it, a configuration at its defaults; None where it keeps it."""
    with tempfile.TemporaryDirectory() as folder:
        subject = functools.cache(lambda: _subject(member, Path(folder)))
        for check in checks:
            name = check.__name__.removeprefix("check_")
            try:
                check(subject())
            except ContractError as error:
                yield name, str(error)
            except Exception as error:  # whatever a person's code does
                yield name, f"{type(error).__name__}: {error}"
            else:
                yield name, None


def _subject(member: Any, folder: Path) -> Any:
    """What checks are asked about: a metric, a configuration at its defaults, or a puzzle with the small recipe that it names."""
    if not isinstance(member, type):
        return member
    made: Any = member()
    if not isinstance(made, Task):
        return made
    recipe: RecipeBase | None = made.example()
    if recipe is None:
        raise ContractError("a puzzle of one's own must name a small recipe", remedy="give one in example()")
    return tasks.Sample(made, recipe, folder)


def main() -> int:
    """Checks every module that the command line names; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trm.contract", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="such as my_lab.nets, found from here or on PYTHONPATH")
    modules: list[str] = parser.parse_args().modules
    honour(modules)
    is_whole = True
    for member in [one for module in modules for one in members_of(module)]:
        name = f"{member.__module__}.{member.__name__}" if isinstance(member, type) else f"metric {member.name}"
        for check, problem in broken(member, checks_of(member)):
            is_whole &= problem is None
            show(f"{'ok    ' if problem is None else 'broken'} {name} {check}{_said(problem)}")
    return EXIT_DONE if is_whole else EXIT_INPUT


def _said(problem: str | None) -> str:
    return "" if problem is None else f": {problem}"


if __name__ == "__main__":
    sys.exit(run_job(main))
