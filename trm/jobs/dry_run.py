"""`sweep.py --dry-run`: what a sweep would be and take. Nothing is started and nothing is written."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from trm.cluster.connection import Demand, Node, concurrent_trials, ray_address
from trm.config.data import DataConfig
from trm.config.files import load_yaml
from trm.config.run import RunConfig
from trm.config.step_costs import StepCosts
from trm.console.streams import say
from trm.errors import EXIT_DONE, DatasetError, ResourceError, SweepError, TRMError
from trm.files.yaml_values import RESOLVED
from trm.jobs.inspect import status_of
from trm.jobs.sweep_starts import counted_sets, require_sources, start_lines
from trm.models.cost import RunCost, run_cost
from trm.search.journal.events import DriverStarted
from trm.search.journal.journal import read_events
from trm.search.journal.lease import is_held
from trm.search.log import FILE as JOURNAL
from trm.search.planning.earlier import Earlier, prior_of
from trm.search.planning.forecast import forecast
from trm.search.planning.preflight import check_objective
from trm.search.planning.rung_choice import with_rungs
from trm.search.planning.survey import Survey, check_space
from trm.search.planning.unasked import confirmation_lines, unasked_lines
from trm.search.planning.validation_subset import with_subset
from trm.search.resources.speeds import Speeds
from trm.search.settings import Resources, TestTime
from trm.search.space.candidates import Candidate, Facts, Resolver, SetFacts
from trm.search.space.loading import load_space
from trm.search.space.space import SearchSpace
from trm.search.space.starts import with_starts
from trm.sweeps.data_sets import DataSets
from trm.sweeps.earlier import check_same_priors, prior_lines, read_earlier
from trm.sweeps.folder import begun_rules, begun_space, check_resume, rules_of, sweep_folder
from trm.sweeps.places import DEFAULT_STORAGE, writable_folder
from trm.sweeps.shared_puzzles import REMEDY as SHARED_REMEDY
from trm.tasks.counts import DataCounts, data_counts
from trm.tasks.ensure import parts_to_search, task_to_search
from trm.tasks.metrics import steps_of_figure
from trm.terminal.display import figure_text, params_text
from trm.terminal.forecast import Circumstances, print_forecast

NEWEST = 3
"""Sweeps whose legs tell how fast this machine is."""
TIMED_SECONDS = 0.7
TIMED_FLOPS = 2e10
"""A step that costs more is timed with fewer rows, then with fewer cycles: large networks' FLOPs all take about as long."""
SHOWN_BEST = 3
"""Of an earlier sweep's configurations."""
SET_UP_SECONDS = 0.5
"""Of a leg, where none was seen yet."""


@dataclass(frozen=True)
class Place:
    """Where the sweep would be, or is."""

    name: str | None = None
    is_resume: bool = False
    address: str | None = None


def dry_run(
    path: str,
    overrides: Sequence[str] = (),
    storage: str | None = None,
    *,
    warm_start: Sequence[str] = (),
    place: Place = Place(),
) -> int:
    """Prints what the sweep of a search space file would take, or what its resume would go on with; the exit code.

    InputError for what the sweep would refuse too. Of a cluster it is looked only whether it answers: the figures are of this
    machine.
    """
    rules = rules_of(path, overrides, storage=storage, name=place.name, is_resume=place.is_resume)
    space = load_space(path, overrides, rules=rules)
    earlier = [] if place.is_resume else read_earlier(warm_start, space)
    root = writable_folder(storage, "--storage", default=DEFAULT_STORAGE)
    if (address := ray_address(place.address)) != "local":
        say(f"what the cluster ({address}) has is not asked: the figures are of this machine")
    folder = sweep_folder(root, space, place.name, is_resume=place.is_resume)
    if is_held(folder):
        raise SweepError(f"a living driver holds {folder}", remedy="wait for its end, or look how far it is by --status")
    if place.is_resume:
        space = begun_space(folder, space, begun_rules(folder))
        check_same_priors(folder, warm_start)
        check_resume(folder, space)
        say(f"it would go on with the sweep {folder}; below, what the whole sweep is")
        for text in status_of(folder):
            say(f"  {text}")
    else:
        space = with_starts(space)  # what is none is refused as by the sweep
        require_sources(space)
        say(f"it would be the sweep {folder}")
    print_dry_run(space, root, earlier, begins=not place.is_resume)
    return EXIT_DONE


def print_dry_run(space: SearchSpace, storage: Path, earlier: Sequence[tuple[Earlier, DataSets]], *, begins: bool = True) -> None:
    """Print what a sweep of `space` that starts from `earlier` ones would do; data sets and speeds are looked for in `storage`.

    Of one that `begins` it is looked whether the weights that trials start from fit; one that goes on looked already.
    """
    for note in space.start_notes:
        say(note)
    config = check_space(space, is_begun=not begins).config
    for choice in space.data_choices:
        check_objective(space, config, task_to_search(choice), parts_to_search(choice))
    every = [(choice, data_counts(choice, str(storage / "data"), say)) for choice in space.data_choices]
    _require_alike(every)
    counts = max((one for _, one in every), key=lambda one: one.shape.num_puzzle_identifiers)
    device: Literal["cpu", "cuda"] = "cuda" if space.resources.gpus else "cpu"
    shapes = {choice.source: one.shape for choice, one in every}
    slots, device_bytes = _room(space)
    facts = Facts(epoch_rows=counts.epoch_rows, sets=_set_facts(every), disk_bytes=_free_bytes(storage))

    def cost_of(config: RunConfig) -> RunCost:
        return run_cost(config, shapes[config.data.source], workers=space.resources.workers, device=device)

    facts.memory.device(device_bytes)
    survey = with_rungs(Survey(space, cost_of, facts))
    survey, subset = with_subset(survey, examples=counts.validation_rows, forms=[one.forms for _, one in every])
    for line in [*unasked_lines(survey), *start_lines(survey, counted_sets(every))] if begins else confirmation_lines(survey):
        say(line)
    space, carried = survey.space, _carried(earlier, survey.resolver, counts)
    facts.speeds, origin = _speeds(space, storage, survey.ends, counts)
    if space.fidelity == "seconds":  # what was looked at at an assumed speed
        survey = Survey(space, cost_of, facts)
    seen = forecast(survey, slots=slots)
    scored = "what is searched" if subset is None else subset.text
    if space.test_time is not None:
        say(_test_time_text(space.test_time, space.objective.metric, seen.preflight.dearest.config, cost_of, counts))
    data = [_data_text(choice, one, len(every)) for choice, one in every]
    print_forecast(space, seen, facts, Circumstances(data, slots, device_bytes, origin, scored, carried))


def _test_time_text(
    section: TestTime, metric: str, config: RunConfig, cost_of: Callable[[RunConfig], RunCost], counts: DataCounts
) -> str:
    """What settings at test time take of the dearest configuration, in words."""
    votes = min(counts.forms, config.evaluation.most_votes or counts.forms)
    row = cost_of(config).forward_flops_row * counts.validation_rows * votes
    drawn = len(section.passes) - 1
    plain = max(config.answer_steps, steps_of_figure(metric) or 0)
    first = max(section.steps, plain) if section.forms == 1 else section.forms * section.steps + plain
    steps = first + drawn * (section.forms * section.rollouts * section.steps + plain)
    trials = "the winner's weights" if section.top == 1 else f"the weights of each of the best {section.top}"
    return (
        f"at the end settings at test time are tried on {trials}, in {drawn + 1} passes over all {counts.validation_rows} "
        f"validation examples: at most {figure_text('inference_flops', steps * row)} a trial"
    )


def _require_alike(every: Sequence[tuple[DataConfig, DataCounts]]) -> None:
    """DatasetError for data sets that a sweep would refuse once they are built, as far as their numbers tell."""
    for (data, one), (other_data, other) in pairwise(every):
        told = [
            f"{counts.shape.seq_len} cells of {counts.shape.vocab_size} tokens and {counts.validation_rows} validation examples"
            for counts in (one, other)
        ]
        if told[0] != told[1]:
            raise DatasetError(
                f"the data sets of a sweep share validation puzzles: {data.words} has {told[0]}, {other_data.words} {told[1]}",
                remedy=SHARED_REMEDY,
            )


def _data_text(data: DataConfig, counts: DataCounts, sets: int) -> str:
    """A data set in a line; of several what is chosen, and what may differ."""
    text = f"{counts.source}; {counts.shape.seq_len} cells of {counts.shape.vocab_size} tokens"
    if sets == 1:
        return text
    return f"{data.words}: {text}, {counts.epoch_rows:,.0f} rows an epoch, {counts.shape.num_puzzle_identifiers:,} identifiers"


def _set_facts(every: Sequence[tuple[DataConfig, DataCounts]]) -> dict[str, SetFacts]:
    """What the search must know of several data sets; empty of one."""
    if len(every) == 1:
        return {}
    return {data.source: SetFacts(one.epoch_rows, one.content_hash or one.recipe_digest) for data, one in every}


def _carried(earlier: Sequence[tuple[Earlier, DataSets]], resolver: Resolver, counts: DataCounts) -> list[str]:
    """What earlier sweeps would bring, in lines: how many configurations, what differs, their best."""
    lines = []
    for one, there in earlier:
        first = there.first.manifest
        is_same = any(counts.is_that_of(one) for one in there.manifests)
        difference = None if is_same else f"data: {first.name} ({first.content_hash[:8]}) there, {counts.source} here"
        prior = prior_of(one, resolver, data_difference=difference)
        best = [f"  scored {trial.scores[-1].objective:.4g}: {params_text(trial.params)}" for trial in prior.trials[:SHOWN_BEST]]
        lines += [*prior_lines(prior), *best]
    return lines


def _free_bytes(storage: Path) -> int:
    there = next(path for path in (storage, *storage.parents) if path.exists())
    usage = os.statvfs(there)
    return usage.f_bavail * usage.f_frsize


def _room(space: SearchSpace) -> tuple[int, int | None]:
    """Trials side by side, and memory of a worker's device where it has one: as if this machine were the cluster."""
    resources = space.resources
    gpus, device_bytes = _gpus() if resources.gpus else (0, None)
    demand = Demand(resources.workers, resources.cpus, resources.gpus)
    wanted = min((limit for limit in (resources.slots, space.budget.trials) if limit is not None), default=None)
    try:
        here = concurrent_trials([Node("", "here", float(os.cpu_count() or 1), float(gpus))], demand, wanted)
    except ResourceError:
        here = resources.slots or 1
    return here, None if device_bytes is None else int(device_bytes * min(1.0, resources.gpus))


def _gpus() -> tuple[int, int | None]:
    import torch

    count = torch.cuda.device_count()
    return count, min((torch.cuda.get_device_properties(index).total_memory for index in range(count)), default=None)


# How fast ---------------------------------------------------------------------------------------------------------------


def _speeds(space: SearchSpace, storage: Path, ends: tuple[Candidate, Candidate], counts: DataCounts) -> tuple[Speeds, str]:
    """What is known of this machine's speed, and where from."""
    learned, names = _learned(space.resources, storage)
    if names:
        return learned, f"from the legs of {', '.join(names)}"
    if space.resources.gpus and not _gpus()[0]:
        if space.fidelity == "seconds":
            raise ResourceError(
                "fidelity seconds is forecast from timed steps, a trial asks for GPUs, and this machine has none",
                remedy="ask where a GPU is, or with another --set fidelity",
            )
        return Speeds(), "unknown: no GPU here, and no sweep ran on one yet"
    return _measured(space.resources, ends, counts), "a guess from a few training steps here and now"


def _learned(resources: Resources, storage: Path) -> tuple[Speeds, list[str]]:
    """Speeds from the newest sweeps of this storage that ran on this host with the same workers, and their names."""
    journals = sorted(storage.glob(f"*/{JOURNAL}"), key=lambda path: path.stat().st_mtime, reverse=True)
    alike = [path for path in journals if _is_alike(path.parent, resources)][:NEWEST]
    speeds, names = Speeds(), list[str]()
    for path in reversed(alike):
        one = Speeds()
        try:
            for entry in read_events(path):
                one.apply(entry.event)
                speeds.apply(entry.event)
        except TRMError:  # a damaged journal teaches what stands before the damage
            pass
        if one.step_seconds(1.0) is not None:
            names.insert(0, path.parent.name)
    return speeds, names


def _is_alike(folder: Path, resources: Resources) -> bool:
    try:
        there = Resources.model_validate(load_yaml(folder / "sweep.yaml", RESOLVED)["space"]["resources"])
        drivers = [entry.event for entry in read_events(folder / JOURNAL) if isinstance(entry.event, DriverStarted)]
    except (TRMError, ValueError, KeyError, TypeError):
        return False
    same = all(getattr(there, name) == getattr(resources, name) for name in ("workers", "cpus", "gpus", "threads"))
    return same and bool(drivers) and drivers[-1].driver.rpartition(":")[0] == socket.gethostname()


def _measured(resources: Resources, ends: tuple[Candidate, Candidate], counts: DataCounts) -> Speeds:
    import torch

    from trm.training.process import keep_freed_memory, training_device
    from trm.training.timing import time_steps

    torch.set_num_threads(resources.threads or max(1, int(resources.cpus)))
    keep_freed_memory()
    speeds = Speeds()
    device = training_device() if resources.gpus else "cpu"
    for one in ends:
        cost_of = partial(run_cost, shape=counts.shape)
        small = _timeable(one.config, resources.workers, cost_of)
        timed = time_steps(small, counts.shape, seconds=TIMED_SECONDS, device=device)
        whole = cost_of(one.config)
        step_flops = whole.stage_flops[-1].each  # as deep as the configuration says, which is what was timed
        seconds = timed.seconds / timed.steps * step_flops / timed.step_flops / resources.workers
        speeds.observe_leg(
            StepCosts.constant(step_flops),
            0,
            timed.steps,
            train_seconds=seconds * timed.steps,
            eval_seconds=seconds * _evaluation_flops(one.config, whole, counts) / step_flops,
            overhead_seconds=SET_UP_SECONDS,
        )
    return speeds


def _timeable(config: RunConfig, workers: int, cost_of: Callable[[RunConfig], RunCost]) -> RunConfig:
    """One worker's share of the configuration, made small enough to be timed in a moment."""
    batch = max(1, config.training.global_batch_size // workers)
    flops_row = cost_of(config).stage_flops[-1].each / config.training.global_batch_size
    batch = min(batch, max(1, int(TIMED_FLOPS / flops_row)))
    changes = {"training": config.training.model_copy(update={"global_batch_size": batch})}
    if flops_row > TIMED_FLOPS:
        changes["model"] = config.model.shallowest()  # type: ignore[assignment]
    return config.model_copy(update=changes)


def _evaluation_flops(config: RunConfig, cost: RunCost, counts: DataCounts) -> float:
    examples = min(config.evaluation.max_examples or counts.validation_rows, counts.validation_rows)
    votes = min(counts.forms, config.evaluation.most_votes or counts.forms)
    return examples * votes * cost.inference_flops * config.pass_steps / config.answer_steps
