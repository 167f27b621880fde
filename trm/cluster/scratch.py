"""What Tune finds in its scratch when somebody calls `Tuner.restore` there: the command that goes on with the sweep.

The journal is the truth, and only a driver reads it. Restored by Tune alone, legs waited for ever for a board that was gone.
"""

from pathlib import Path
from typing import Any, NoReturn

from trm.errors import SweepError, TRMError

ELSE = "python ray_jobs/sweep.py SPACE.yaml --storage STORAGE --name NAME --resume"


class Detached:
    """Tune pickles what it is given; nothing of it is kept, the live driver stays here."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class NotRestored:
    """As `Detached`, and who unpickles it is told what to type instead: a SweepError."""

    scratch: Path
    """Tune's folder, in that of a sweep."""

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": str(self.scratch.parents[1])}

    def __setstate__(self, state: dict[str, Any]) -> NoReturn:
        folder = state.get("folder")
        what = "Tune's scratch" if folder is None else f"Tune's scratch of the sweep {folder}"
        raise SweepError(f"{what} holds no sweep: its journal does", remedy=f"go on with `{_command(folder)}`")


def _command(folder: str | None) -> str:
    if folder is None:  # of an earlier version
        return ELSE
    from trm.sweeps.folder import read_sweep  # brings the search, and every process of a leg imports this file

    try:
        return read_sweep(Path(folder))[2] or ELSE
    except (TRMError, OSError):  # it was moved, or is damaged: a driver says how
        return ELSE
