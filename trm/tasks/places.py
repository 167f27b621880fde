"""Where the data set lies that a file of a sweep or a run names: where the file says, or where it came to be when all was moved.

What such files say was true on the machine that wrote them. A place on this machine is tried, and then the same place relative to
the file; a URL in them is nobody's word here, and is not fetched for it.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from trm.config.data import DataConfig
from trm.data.format import storage
from trm.data.format.manifest import MANIFEST, read_manifest
from trm.errors import DatasetError
from trm.tasks.making.recipe import RecipeBase
from trm.tasks.mixture.recipe import MixtureRecipe
from trm.tasks.recipes import recipe_of_data

LEAST_PARTS = 2
"""Of a recorded path, by which a data set is known again where nothing tells its content: data/NAME-DIGEST."""
USERS_WORDS = ("data", "data.folder", "data.recipe")


def names_data(overrides: Sequence[str]) -> bool:
    """Whether the user says on the command line which data are meant."""
    return any(override.partition("=")[0].strip() in USERS_WORDS for override in overrides)


def data_beside(
    data: DataConfig, beside: Path, content_hash: str = "", *, say: Callable[[str], None] = lambda text: None
) -> DataConfig:
    """The data that a file in the folder `beside` names, where they lie now.

    When nothing is at a recorded folder any more, its last parts are looked for below the folders that hold the file: a storage
    was moved. With a `content_hash` only that data set counts.
    """
    if data.folder is None or not storage.is_local(data.folder):
        return data
    recorded = storage.local_path(data.folder).absolute()
    if (recorded / MANIFEST).is_file():
        return data
    for candidate in _candidates(recorded, beside.absolute(), 1 if content_hash else LEAST_PARTS):
        if (candidate / MANIFEST).is_file() and (not content_hash or _content_hash(candidate) == content_hash):
            say(f"the data set was at {data.folder}; it is taken from {candidate} now")
            return data.model_copy(update={"folder": str(candidate)})
    return data


def _candidates(recorded: Path, beside: Path, least: int) -> Iterator[Path]:
    """Places that have the most of the recorded path in common, below the nearest folder first."""
    parts = recorded.parts[1:]
    for count in range(len(parts), least - 1, -1):
        for folder in (beside, *beside.parents):
            yield folder.joinpath(*parts[-count:])


def _content_hash(folder: Path) -> str:
    try:
        return read_manifest(str(folder)).content_hash
    except DatasetError:
        return ""


def refuse_remote(data: DataConfig, source: str | Path) -> None:
    """DatasetError when using the data that the file `source` names would reach out to another machine."""
    for place in _remote_places(data):
        asked = f"data.folder={data.folder}" if data.folder is not None else f"data.recipe={data.recipe}"
        raise DatasetError(
            f"nothing is fetched because a folder's files say so: {source} names data at {place}",
            remedy=f"if you want them, say so yourself: --set {asked}, or name data of your own",
        )


def _remote_places(data: DataConfig) -> Iterator[str]:
    if data.folder is not None:
        yield from _if_remote(data.folder)
    elif data.recipe is not None:
        yield from _if_remote(data.recipe)
        if storage.is_local(data.recipe):
            yield from _remote_sources(recipe_of_data(data))


def _remote_sources(recipe: RecipeBase) -> Iterator[str]:
    if isinstance(recipe, MixtureRecipe):
        for part in recipe.parts:
            yield from _remote_places(DataConfig(recipe=part.recipe, folder=part.folder, overrides=part.overrides))
    else:
        yield from _if_remote(str(getattr(recipe, "path", None) or ""))


def _if_remote(place: str) -> Iterator[str]:
    if not storage.is_local(place):
        yield place
