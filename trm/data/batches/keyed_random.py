"""Random draws that are functions of their keys alone: any subset can be drawn anywhere, in any order, with one result."""

import numpy as np
from jaxtyping import Int64, UInt64

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)


def _scramble(bits: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit changes half of the output bits."""
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    scrambled: np.ndarray = bits ^ (bits >> np.uint64(31))
    return scrambled


def hashed(*keys: int | np.ndarray) -> UInt64[np.ndarray, "..."]:
    """64 random bits for each combination of the keys, which are whole numbers or arrays of them that broadcast."""
    bits: np.ndarray = np.zeros(1, dtype=np.uint64)
    for key in keys:
        number = np.atleast_1d(np.asarray(key & 0xFFFFFFFFFFFFFFFF if isinstance(key, int) else key)).astype(np.uint64)
        bits = _scramble((bits ^ number) + _INCREMENT)
    return bits


def below(bits: UInt64[np.ndarray, "..."], bound: int | np.ndarray) -> Int64[np.ndarray, "..."]:
    """Whole numbers 0 <= x < bound from random bits; bounds below 2**32."""
    numbers: np.ndarray = ((bits >> np.uint64(32)) * np.asarray(bound).astype(np.uint64)) >> np.uint64(32)
    return numbers.astype(np.int64)


def permutations(keys: UInt64[np.ndarray, "rows"], length: int, stream: int) -> Int64[np.ndarray, "rows length"]:
    """A random permutation of 0..length-1 for each key; another one for each `stream`."""
    bits = hashed(keys[:, None], stream, np.arange(length))
    return np.argsort(bits, axis=1)


def shuffled(length: int, *keys: int) -> Int64[np.ndarray, "length"]:
    """0..length-1 in a random order that is a function of the keys, on every machine and with every numpy."""
    order: np.ndarray = np.argsort(hashed(*keys, np.arange(length)), kind="stable")
    return order.astype(np.int64)


def device_keys(seed: int, stream: int, *numbers: int | np.ndarray) -> Int64[np.ndarray, "..."]:
    """Keys of what is drawn on the device (`trm.models.keyed_draws`), one for each combination of the numbers."""
    return hashed(seed, stream, *numbers).view(np.int64)
