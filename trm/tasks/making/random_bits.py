"""Random bits and bit counts for compiled generators; `state` is an array of one uint64, the seed at first."""

from typing import no_type_check

import numpy as np

from trm.tasks.making.compiled import compiled

INCREMENT = np.uint64(0x9E3779B97F4A7C15)


@compiled()
@no_type_check
def mixed(bits: np.uint64) -> np.uint64:
    """The number that splitmix64 makes of a state (Steele, Lea, Flood 2014): every bit hangs on every bit."""
    bits += INCREMENT
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@compiled()
@no_type_check
def next_bits(state: np.ndarray) -> np.uint64:
    """64 random bits."""
    bits = mixed(state[0])
    state[0] += INCREMENT
    return bits


@compiled()
@no_type_check
def random_below(state: np.ndarray, bound: int) -> int:
    """A whole number 0 <= x < bound, for bounds below 2**32."""
    return np.int64(((next_bits(state) >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32))


@compiled()
@no_type_check
def count_bits(mask: int) -> int:
    """Ones of a mask below 2**63 that has few of them."""
    left, count = np.int64(mask), 0
    while left:
        left &= left - 1
        count += 1
    return count
