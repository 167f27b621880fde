"""What desktops, editors and copying tools leave in folders: passed over wherever a folder is listed."""

import re
from collections.abc import Iterable
from pathlib import Path

_STRAY = re.compile(
    r"\..*"  # hidden: .DS_Store, ._resource, .swp, .nfs0001, .ipynb_checkpoints, our own unfinished files
    r"|Thumbs\.db|ehthumbs\.db|desktop\.ini|__MACOSX|\$RECYCLE\.BIN|Icon\r"
    r"|.*~|#.*#|~\$.*|.*\.(?:bak|old|orig|rej|tmp|temp|swp|swo|part|crdownload)",
    re.IGNORECASE,
)


def is_stray(name: str) -> bool:
    """Whether a file or folder of this name belongs to nobody: hidden, a desktop's notes, an editor's copy, half a download."""
    return _STRAY.fullmatch(name) is not None


def without_strays(paths: Iterable[Path]) -> list[Path]:
    """The paths in order of their names, but for those whose last name is a stray's."""
    return sorted(path for path in paths if not is_stray(path.name))
