"""Whether the weights that a sweep's trials start from fit their networks, before a worker starts."""

from trm.search.planning.survey import Survey
from trm.search.space.starts import start_paths
from trm.sweeps.data_sets import DataSets


def start_lines(survey: Survey, sets: DataSets) -> list[str]:
    """What the trials start with, in words, each kind once. CheckpointError as `start_of` for the first that does not fit."""
    if not start_paths(survey.space):
        return []
    from trm.training.starting import Source, read_source, start_of  # brings torch

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
        built = config.model_copy(update={"data": config.data.built(data.folder)})
        lines |= dict.fromkeys(start_of(built, data.manifest, sources[read]).lines)
    return list(lines)
