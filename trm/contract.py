"""`python -m trm.contract my_lab.nets`: whether what a module of one's own adds keeps what its doors ask.

Exit code 0: all of it; 2: not, or the module cannot be used, with a line for each rule that it breaks.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from trm.config.architectures import ImportedNetwork
from trm.config.imports import honour, members_of
from trm.config.losses import ImportedLoss
from trm.config.optimizers import ImportedOptimizer
from trm.contracts import losses, metrics, networks, optimizers
from trm.errors import EXIT_DONE, EXIT_INPUT, ContractError
from trm.evaluation.metrics import imported_metrics
from trm.terminal.command_line import run_job, show

Check = Callable[[Any], None]
OF_PUBLISHED_NETWORKS = (networks.check_published_names,)
"""What a network of one's own need not keep: nobody published weights of it."""


def checks_of(member: type[BaseModel]) -> tuple[Check, ...]:
    """What a member has to keep, by the door that it stands in; empty where a door has no suite."""
    if issubclass(member, ImportedOptimizer):
        return optimizers.CHECKS
    if issubclass(member, ImportedLoss):
        return losses.CHECKS
    if issubclass(member, ImportedNetwork):
        return tuple(check for check in networks.CHECKS if check not in OF_PUBLISHED_NETWORKS)
    return ()


def broken(member: Any, checks: tuple[Check, ...]) -> Iterator[tuple[str, str | None]]:
    """Each check's name, and how `member` breaks it, a configuration at its defaults; None where it keeps it."""
    for check in checks:
        name = check.__name__.removeprefix("check_")
        try:
            check(member() if isinstance(member, type) else member)
        except ContractError as error:
            yield name, str(error)
        except Exception as error:  # whatever a person's code does
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield name, None


def main() -> int:
    """Checks every module that the command line names; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m trm.contract", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="+", metavar="MODULE", help="such as my_lab.nets, found from here or on PYTHONPATH")
    modules: list[str] = parser.parse_args().modules
    honour(modules)
    members: list[Any] = [one for module in modules for one in members_of(module)]
    named = [(f"{one.__module__}.{one.__name__}", one, checks_of(one)) for one in members]
    named += [(f"metric {one.name}", one, metrics.CHECKS) for one in imported_metrics()]
    is_whole = True
    for name, member, checks in named:
        for check, problem in broken(member, checks):
            is_whole &= problem is None
            show(f"{'ok    ' if problem is None else 'broken'} {name} {check}{_said(problem)}")
        if not checks:
            show(f"       {name}: its door has no contract suite")
    return EXIT_DONE if is_whole else EXIT_INPUT


def _said(problem: str | None) -> str:
    return "" if problem is None else f": {problem}"


if __name__ == "__main__":
    sys.exit(run_job(main))
