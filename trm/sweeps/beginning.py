"""The first lines of a driver in a sweep's journal, after the last checks, and the file that says what the sweep is."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from trm.config.data import DataConfig
from trm.console.long_work import shown
from trm.console.streams import say
from trm.search.journal.events import SpeedMeasured
from trm.search.log import FILE as JOURNAL
from trm.search.log import SweepLog
from trm.search.planning.preflight import Preflight, preflight
from trm.search.planning.survey import Survey
from trm.search.space.candidates import Facts
from trm.search.state import SweepState
from trm.sweeps.checkpoint_stores import checkpoint_store
from trm.sweeps.folder import recorded_digests, write_sweep_file
from trm.sweeps.search import costs_on, sweep_search
from trm.sweeps.steady_clock import steady_now
from trm.sweeps.sweep import Sweep
from trm.sweeps.versions import sweep_versions, told_versions


@dataclass(frozen=True)
class Machines:
    """What the legs of a driver run on."""

    slots: int
    """Legs side by side."""
    gpus: float
    """GPUs that a leg holds, of all its workers."""
    device_bytes: int
    """Memory that one worker of a leg may use, of the smallest device or node."""
    disk_bytes: int
    """Bytes free where the sweep folder lies."""


def begin(
    sweep: Sweep,
    data: DataConfig,
    machines: Machines,
    measure: Callable[[SweepState], Sequence[SpeedMeasured]],
    costs: Preflight | None,
) -> SweepLog:
    """The journal with this driver's first lines; `data` is the space's, its mode settled.

    `measure` times steps where the search needs that before its first trial. `costs`: what the preflight found, where it could be
    made before.
    """
    space, folder, versions = sweep.space, sweep.folder, sweep_versions()
    search = sweep_search(space.model_copy(update={"data": data}), sweep.sets, knows_places=True)
    state = search.state
    with shown(f"reading {folder / JOURNAL}", say):
        log = SweepLog(folder, search, guard=sweep.check, say=say)
    if sweep.mirror is not None:
        sweep.mirror.go_on()
        log.publish = sweep.publish
    priors = state.priors or sweep.priors
    for line in told_versions(state, versions):
        say(f"{line}: numbers may differ from there on")
    command = sweep.invocation.resume
    write = partial(write_sweep_file, folder, space, sweep.sets, versions, mode=data.mode, command=command, priors=priors)
    if log.is_new:  # a resume's says what its driver's line vouches for
        write()
    measured = measure(state)
    facts = Facts(epoch_rows=state.facts.epoch_rows, sets=state.facts.sets) if measured else state.facts
    for speed in measured:
        facts.speeds.observe(speed.step_flops, speed.steps, speed.seconds)
    costs = costs or preflight(Survey(space, costs_on(sweep.sets, space.resources), facts))
    for note in costs.notes:
        say(note)
    store = checkpoint_store(space, folder, folder.name if log.is_new else state.name)
    log.start(
        steady_now(),
        driver=f"{socket.gethostname()}:{os.getpid()}",
        fence=sweep.lease.fence,
        slots=machines.slots,
        versions=versions,
        name=folder.name,
        gpus=machines.gpus,
        device_bytes=machines.device_bytes,
        disk_bytes=machines.disk_bytes if store.is_on_disk else None,
        priors=priors,
        digests=recorded_digests(space, sweep.sets, data.mode),
    )
    write()
    store.clear_unfinished()  # not before: until its line is there another driver may be the one, and its legs may write
    log.append(*measured)
    low, high = costs.cheapest.step_flops / 1e9, costs.dearest.step_flops / 1e9
    amounts = ", ".join(f"{amount:.3g}" for amount in state.rungs.amounts)
    say(f"sweep {folder}: a step costs {low:.3g} to {high:.3g} GFLOP, rungs at {amounts} {space.fidelity}")
    return log


def knows_speeds(state: SweepState) -> bool:
    """Whether the search needs no steps timed: its trials are not so many seconds long, or its last driver timed some here."""
    before = state.driver
    is_here = before is not None and before.driver.rpartition(":")[0] == socket.gethostname()
    return state.space.fidelity != "seconds" or (is_here and state.facts.speeds.step_seconds(1.0) is not None)
