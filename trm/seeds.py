"""Random choices derive from (sweep seed, purpose, numbers), never from a generator that remembers."""

import hashlib


def derived_seed(sweep_seed: int, purpose: str, *numbers: int, bits: int = 63) -> int:
    """A seed of `bits` bits (at most 63) that depends on the sweep's seed, what it is for, and the numbers given."""
    text = ":".join([str(sweep_seed), purpose, *map(str, numbers)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)
