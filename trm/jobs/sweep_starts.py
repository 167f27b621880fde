"""Whether the weights that a sweep's trials start from fit their networks, before a worker starts."""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import islice

from trm.config.data import DataConfig
from trm.config.run import RunConfig
from trm.data.format.manifest import Manifest
from trm.errors import CheckpointError
from trm.search.planning.survey import Survey, kept
from trm.search.space.space import SearchSpace
from trm.search.space.spelling import spelled
from trm.search.space.starts import start_paths
from trm.sweeps.data_sets import DataSet, DataSets
from trm.tasks.counts import DataCounts

LOOKED_AT = 200
"""Configurations that weights are held against before there is a data set."""
NAMELESS = "rows get their names when the data set is built; until then the mean stands for each"


def counted_sets(every: Sequence[tuple[DataConfig, DataCounts]]) -> DataSets:
    """Data sets of which some are not built yet, and have no folder: enough to know which weights fit."""
    return DataSets(tuple(DataSet(data, *_there(one)) for data, one in every))


def _there(counts: DataCounts) -> tuple[Manifest, str]:
    """Its manifest and folder; of one that is not built, a manifest without rows."""
    if counts.manifest is not None:
        return counts.manifest, counts.source
    shape = counts.shape
    foretold = Manifest(
        name=counts.source,
        task="",
        grid=(1, shape.seq_len),
        vocabulary=tuple(map(str, range(shape.vocab_size))),
        seq_len=shape.seq_len,
        num_puzzle_identifiers=shape.num_puzzle_identifiers,
        splits={},
        row_group_rows=1,
        seed=0,
        recipe={},
        recipe_digest=counts.recipe_digest,
    )
    return foretold, ""


def _on(config: RunConfig, data: DataSet) -> RunConfig:
    """The configuration on a data set; before it is built its identifiers have no names, and each gets a row that fits as well."""
    if data.folder:
        return config.model_copy(update={"data": config.data.built(data.folder)})
    if config.start.puzzle_embedding != "by_name":
        return config
    return config.model_copy(update={"start": config.start.model_copy(update={"puzzle_embedding": "mean"})})


def require_sources(space: SearchSpace) -> None:
    """CheckpointError for what trials of a sweep that begins start from, if it is no weights or fits none of their networks.

    As far as that needs no data set: what fits some of them only is known by `start_lines`.
    """
    if not start_paths(space):
        return
    from trm.training.starting import Source, read_source, require_beginning  # brings torch

    sources: dict[str, Source] = {}
    misfits: dict[str, CheckpointError | None] = {}
    for config in (one.config for one in islice(kept(space), LOOKED_AT)):
        which = f"{config.start.path} {config.start.weights}"
        if config.start.path is None or (which in misfits and misfits[which] is None):
            continue
        read = f"{which} {config.model.architecture}"
        with _said_of(space):
            source = sources[read] = sources[read] if read in sources else read_source(config.start, config)
        try:
            require_beginning(config, source)
            misfits[which] = None
        except CheckpointError as error:
            misfits.setdefault(which, error)
    for misfit in filter(None, misfits.values()):
        with _said_of(space):
            raise misfit


@contextlib.contextmanager
def _said_of(space: SearchSpace) -> Iterator[None]:
    """Spells what a message of a run tells to do as the space has it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(error.problem, remedy=spelled(error.remedy, space.search)) from error


def start_lines(survey: Survey, sets: DataSets) -> list[str]:
    """What the trials start with, in words, each kind once. CheckpointError as `start_of` for the first that does not fit."""
    if not start_paths(survey.space):
        return []
    from trm.models.counting import network_sizes
    from trm.training.starting import Source, read_source, require_taken, start_of  # brings torch

    lines: dict[str, None] = {}
    seen: set[str] = set()
    sources: dict[str, Source] = {}
    for candidate in survey.everyone:
        config = candidate.config
        path, data = config.start.path, sets.of(config.data)
        kind = f"{config.start.model_dump_json()} {config.model.model_dump_json()} {data.folder}"
        if path is None or kind in seen:
            continue
        seen.add(kind)
        read = f"{path} {config.start.weights} {config.model.architecture}"
        if read not in sources:
            sources[read] = read_source(config.start, config)
        with _said_of(survey.space):
            require_taken(config, sources[read], network_sizes(config.model, data.manifest.shape))
            found = start_of(_on(config, data), data.manifest, sources[read])
        lines |= dict.fromkeys(found.lines)
        if not data.folder and config.start.puzzle_embedding == "by_name":
            lines[NAMELESS] = None
    return list(lines)
