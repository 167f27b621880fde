"""Which checkpoints outlive their trial: `keep.best` of the search space."""

from pathlib import Path

from trm.atomic import remove_folder, remove_hidden
from trm.search.search import Search
from trm.search.trial import ENDED


def prune_checkpoints(search: Search, folder: Path) -> None:
    """Delete the checkpoints of trials that have ended and are not among the `keep.best` best; null keeps all.

    A trial that is stopped may be taken up again by a sweep that goes on with more compute: it then trains from its start.
    """
    best = search.space.keep.best
    if best is None:
        return
    kept = {trial.number for trial in search.leaderboard()[:best]}
    for trial in search.trials:
        if trial.status in ENDED and trial.number not in kept:
            remove_folder(trial_folder(folder, trial.number))


def trial_folder(folder: Path, trial: int) -> Path:
    """Where a trial's checkpoints lie in the sweep folder."""
    return folder / "trials" / f"{trial:04d}"


def clear_unfinished(folder: Path) -> None:
    """Remove the halves of checkpoints that a killed driver's legs left; call it with the lease held, before the first leg."""
    trials = folder / "trials"
    for place in (trials, *trials.glob("*")):
        remove_hidden(place)
