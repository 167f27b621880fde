"""Random draws are functions of their keys alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trm.data.batches.keyed_random import below, hashed, permutations, shuffled


def test_draws_are_functions_of_their_keys() -> None:
    whole = hashed(5, np.arange(100), 3)
    assert (hashed(5, np.arange(40, 60), 3) == whole[40:60]).all()
    assert len(np.unique(whole)) == 100
    assert hashed(1, 2, 3)[0] == 0xD0734750FDE362B3  # another number is another order in every data set and run
    assert shuffled(8, 1, 2).tolist() == [7, 5, 6, 1, 4, 3, 0, 2]
    assert (np.sort(shuffled(1000, 1, 2)) == np.arange(1000)).all()
    assert (np.sort(permutations(whole, 7, 0), axis=1) == np.arange(7)).all()


@given(bound=st.integers(1, 1000))
def test_below_stays_below_and_reaches_all(bound: int) -> None:
    numbers = below(hashed(1, np.arange(20 * bound)), bound)
    assert numbers.min() >= 0
    assert numbers.max() < bound
    assert len(np.unique(numbers)) == bound
