"""Files of a sweep's or a run's folder on their way to a tracking store: which of them it has not got as they are now."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from trm.errors import FolderError
from trm.files.contained import inside
from trm.files.strays import without_strays

EARLY_FILES = ("sweep.yaml", "report.html")
"""Go out while the sweep runs."""
MOST_PAGE_BYTES = 1 << 25
"""Of a page of HTML; MLflow's pages would choke on a larger one."""
Marks = Mapping[str, Sequence[int | None]]
"""Size and time of change of every file as it was sent, and its size in the store, by its name."""


class FolderFiles:
    """Follows the files of one folder."""

    def __init__(self, folder: Path, patterns: Sequence[str]) -> None:
        self._folder, self._patterns = folder, patterns

    def lacking(self, sent: Marks, there: Mapping[str, int]) -> list[str]:
        """Names of the files that the store, which has those of `there` in these sizes, has not got as they are now."""
        found = [self._name(path) for pattern in self._patterns for path in without_strays(self._folder.glob(pattern))]
        names = [name for name in found if self.is_own(name) and not self._is_too_large(name)]
        return [name for name in names if list(sent.get(name, [])) != [*self.mark(name), there.get(name)]]

    def changed_early(self, sent: Marks) -> list[str]:
        """Names of those of `EARLY_FILES` that are there and changed since they were sent."""
        names = [name for name in EARLY_FILES if name in self._patterns and self.is_own(name) and not self._is_too_large(name)]
        return [name for name in names if list(sent.get(name, []))[:2] != self.mark(name)]

    def is_own(self, name: str) -> bool:
        """Whether it is a file of the folder, and no link to somebody's."""
        try:
            return inside(self._folder, name).is_file()
        except FolderError:
            return False

    def mark(self, name: str) -> list[int]:
        """Its size and its time of change."""
        status = (self._folder / name).stat()
        return [status.st_size, status.st_mtime_ns]

    def _is_too_large(self, name: str) -> bool:
        return name.endswith(".html") and self.mark(name)[0] > MOST_PAGE_BYTES

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
