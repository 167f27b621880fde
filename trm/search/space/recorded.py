"""The search space of a sweep as its folder's sweep.yaml records it: what everything that follows the journal needs to know."""

from pathlib import Path
from typing import Any

from trm.config.base import RECORDED
from trm.config.files import load_yaml, validated
from trm.errors import ConfigError, SweepError
from trm.files.contained import inside
from trm.files.yaml_values import RESOLVED
from trm.search.space.space import SearchSpace

SWEEP_FILE = "sweep.yaml"


def recorded_space(folder: Path) -> SearchSpace:
    """The space of the sweep in a folder, as its last driver had it; SweepError when it cannot be read."""
    return validated(SearchSpace, recorded_section(folder, "space"), str(folder / SWEEP_FILE), RECORDED)


def recorded_section(folder: Path, section: str) -> dict[str, Any]:
    """A mapping of the folder's sweep.yaml; SweepError when it cannot be read."""
    path = inside(folder, SWEEP_FILE)
    try:
        values = load_yaml(path, RESOLVED).get(section)
    except ConfigError as error:
        raise SweepError(error.problem, remedy="restore it from a copy") from error
    if not isinstance(values, dict):
        raise SweepError(f"{path} must say what the sweep is, but has no mapping {section!r}", remedy="restore it from a copy")
    return values
