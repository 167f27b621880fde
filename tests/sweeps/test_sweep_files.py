"""One table of a sweep's files: what a sweep writes stands in it, its page tells of it, and what is tracked reaches the store."""

import importlib.util
from pathlib import Path

import pytest
from search_simulator import Simulator

from tests.search.test_transfer import RIGHT, large, ranking
from tests.tracking.test_updates import MemoryStore, append, make, whole_sweep
from trm.pictures.choice import PICTURES
from trm.search.findings.files import SWEEP_FILES, known_file, tracked_files
from trm.sweeps.results import write_results

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "folder.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated sweep that knows an earlier one, with all its results."""
    found = tmp_path_factory.mktemp("s")
    search = Simulator(large(), found, priors=[ranking(RIGHT)]).run().search
    write_results(search.state, found)
    return found


def test_every_file_that_a_sweep_writes_is_in_the_table(folder: Path) -> None:
    written = [
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    ]
    assert [name for name in written if known_file(name) is None] == []
    assert {"transfer.json", "transfer.png", "curves.png"} <= set(written)


def test_the_page_tells_of_every_file() -> None:
    names = [file.name.removesuffix("*").rstrip("/.") for file in SWEEP_FILES if not file.name.startswith("*")]
    assert [name for name in names if f"`{name}" not in PAGE] == []
    assert [picture.file for picture in PICTURES if f"`{picture.file}`" not in PAGE] == []


def test_files_are_written_by_modules_that_are_there() -> None:
    assert [file.written_by for file in SWEEP_FILES if importlib.util.find_spec(file.written_by) is None] == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.file)
def test_every_picture_is_tracked(picture: object) -> None:
    found = known_file(picture.file)  # type: ignore[attr-defined]
    assert found is not None
    assert found.is_tracked


def test_what_a_sweep_found_about_an_earlier_one_reaches_the_store(folder: Path, tmp_path: Path) -> None:
    append(tmp_path / "journal.jsonl", whole_sweep())
    for name in ("transfer.json", "transfer.png", "study.journal", "driver.json"):
        (tmp_path / name).write_text("{}")
    store = MemoryStore()
    make(tmp_path, store, []).finish(deadline=1e18)
    assert {"transfer.json", "transfer.png"} <= set(store.uploads)
    assert not {"study.journal", "driver.json"} & set(store.uploads)
    assert store.uploads.index("transfer.json") < store.uploads.index("transfer.png") < store.uploads.index("journal.jsonl")
    assert tracked_files()[0] == "sweep.yaml"
