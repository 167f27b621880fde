"""What comes with the package, found by name from anywhere: search spaces, run configurations, recipes of data sets."""

import os
from pathlib import Path, PurePath
from typing import Literal

Kind = Literal["search space", "run configuration", "data set recipe"]

HOME = Path(__file__).parents[1]
"""Holds them: in a checkout by links to its folders."""
FOLDERS: dict[Kind, str] = {
    "search space": "search_spaces",
    "run configuration": "search_spaces/recipes",
    "data set recipe": "datasets",
}
"""What a file is -> the folder below HOME."""


def named_file(named: str | Path, kind: Kind) -> Path:
    """The path of a file that a person or another file names: as it is where it exists, else what is shipped of that name.

    `sudoku4x4`, `sudoku4x4.yaml` and `search_spaces/sudoku4x4.yaml` are one space. What is neither is returned as it is.
    """
    path, name = Path(named), PurePath(os.path.normpath(named))
    if path.is_file() or path.is_absolute():
        return path
    folder, above = PurePath(FOLDERS[kind]), name.parent.parts
    if above != folder.parts[len(folder.parts) - len(above) :]:
        return path
    file = name.name if name.suffix in (".yaml", ".yml") else f"{name.name}.yaml"
    shipped = HOME / folder / file
    return shipped.resolve() if shipped.is_file() else path


def shipped_names(*kinds: Kind) -> list[str]:
    """What is shipped of these kinds, or of all, as one types it."""
    return sorted({path.stem for kind in kinds or FOLDERS for path in (HOME / FOLDERS[kind]).glob("*.yaml")})
