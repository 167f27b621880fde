"""What stands in Tune's scratch of a sweep: nothing to restore, and the command that goes on."""

import copy
from pathlib import Path

import pytest

from trm.cluster.scratch import NotRestored
from trm.cluster.tune_legs import _LegSearcher
from trm.errors import SweepError


def test_who_restores_it_is_told_what_goes_on_with_the_sweep(tmp_path: Path) -> None:
    assert issubclass(_LegSearcher, NotRestored), "the first of what `Tuner.restore` unpickles"
    kept = NotRestored()
    kept.scratch = tmp_path / "mine" / "tune" / "driver-1"
    with pytest.raises(SweepError, match=r"of the sweep .*/mine holds no sweep.*ray_jobs/sweep.py .* --resume`"):
        copy.copy(kept)  # as pickle does it
