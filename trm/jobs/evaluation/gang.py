"""`evaluate.py --workers N`: a split scored by several workers, each a run of its batches; the figures are those of one."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from trm.console.streams import say
from trm.distributed import SOLO, TorchGang
from trm.errors import ConfigError, TrialError, TRMError
from trm.files.atomic import make_folders, write_text_atomic
from trm.jobs.evaluation.folder import REPORT, clear_folder
from trm.jobs.evaluation.options import EvaluateOptions
from trm.jobs.evaluation.work import evaluated, get_ready
from trm.jobs.process_gang import SILENT_DAYS, check_processes, run_processes
from trm.sweeps.places import is_ray_job

SECONDS_A_DAY = 86400


def evaluated_by_gang(options: EvaluateOptions) -> dict[str, Any]:
    """The report of all workers together, when its folder is written; nothing stays of an evaluation that fails.

    They are processes of this machine, or of a Ray cluster where one is named as for other jobs. Raises InputError for what a
    person can mend, before a worker starts, and TrialError when one dies.
    """
    address = _address(options)
    if address == "local":
        if options.gpus:
            raise ConfigError(f"--gpus is for workers in a Ray cluster, got {options.gpus:g}", remedy="leave it out")
        check_processes(options.workers)
    _refuse(options)
    with _nothing_left(options):
        if address == "local":
            report: dict[str, Any] = run_processes(_work, options, options.workers)
            return report
        return in_cluster(options, address)


def _address(options: EvaluateOptions) -> str:
    """Of the Ray cluster; `local`: this machine alone, where none is named."""
    if not (options.address or os.environ.get("RAY_ADDRESS") or is_ray_job()):
        return "local"
    from trm.cluster.connection import ray_address  # brings Ray

    return ray_address(options.address)


@contextmanager
def _nothing_left(options: EvaluateOptions) -> Iterator[None]:
    """What an evaluation that fails has written goes again; one of before that it had not begun to replace stays."""
    before = _report_of(options)
    try:
        yield
    except (TRMError, KeyboardInterrupt):
        if options.folder is not None and (before is None or _report_of(options) != before):
            clear_folder(Path(options.folder))
        raise


def _report_of(options: EvaluateOptions) -> tuple[int, int] | None:
    """Which file the folder's report is; None where it has none."""
    if options.folder is None:
        return None
    try:
        found = (Path(options.folder) / REPORT).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _refuse(options: EvaluateOptions) -> None:
    """Says what is to be said of the weights and the data, and raises InputError for what a worker could only fail of."""
    get_ready(options, SOLO, say)


def _work(options: EvaluateOptions) -> dict[str, Any]:
    gang = TorchGang.current()
    return evaluated(options, gang, say if gang.is_leader else _silent)


def _silent(text: str) -> None:
    """What every worker would say, one says."""


def in_cluster(options: EvaluateOptions, address: str) -> dict[str, Any]:
    """The report of workers on the nodes of a Ray cluster, which all see the storage, the weights and the folder.

    Raises ResourceError where the cluster has no place for them, or a node does not see the storage.
    """
    from trm.cluster.connection import Demand, concurrent_trials, connected, living_nodes, unshared_storage
    from trm.cluster.hearing import heard
    from trm.cluster.train_gang import run_gang

    options, demand = _absolute(options), Demand(options.workers, 1.0, options.gpus)
    make_folders(options.storage)
    with (
        connected(needs_dashboard=True, address=address),
        tempfile.TemporaryDirectory(dir=options.storage, prefix=".gang-") as scratch,
    ):
        nodes = living_nodes()
        concurrent_trials(nodes, demand, 1)
        for problem in unshared_storage(Path(scratch), nodes).values():
            raise problem
        with heard(say) as mouth:
            config = {"options": options, "mouth": mouth, "scratch": scratch}
            failure = run_gang(_member, config, demand, scratch, silent_seconds=SILENT_DAYS * SECONDS_A_DAY)
        if failure is not None:
            raise TrialError(failure)
        report: dict[str, Any] = json.loads((Path(scratch) / "report.json").read_text())
        return report


def _absolute(options: EvaluateOptions) -> EvaluateOptions:
    """With paths that mean the same everywhere."""
    return replace(
        options,
        path=_placed(options.path),
        storage=_placed(options.storage),
        folder=options.folder and _placed(options.folder),
        config=options.config and _placed(options.config),
        trained_on=options.trained_on and _placed(options.trained_on),
    )


def _placed(path: str) -> str:
    return str(Path(path).absolute())


def _member(config: dict[str, Any]) -> None:
    gang, options = TorchGang.current(), config["options"]
    report = evaluated(options, gang, config["mouth"].say if gang.is_leader else _silent)
    if gang.is_leader:
        write_text_atomic(Path(config["scratch"]) / "report.json", json.dumps(report))
