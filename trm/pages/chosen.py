"""Which puzzles a page shows: a bounded, seeded choice, solved and unsolved ones both, and what it is in words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_PUZZLES = 400
"""Of a page's section."""
MOST_CELLS = 1 << 21
"""Of a section's grids, all steps together: about half a megabyte of the file."""
SEED = 0


@dataclass(frozen=True)
class Chosen:
    """A choice of what there is."""

    places: tuple[int, ...]
    """Of what was asked about, in order."""
    words: str
    """How many of how many, chosen by what."""


def most_shown(cells: int, grids: int, most: int = MOST_PUZZLES) -> int:
    """Puzzles that a section may hold, of so many cells a grid and grids a puzzle; one at least."""
    return max(1, min(most, MOST_CELLS // max(1, cells * grids)))


def chosen_puzzles(kinds: Sequence[str] | None, count: int, most: int, *, what: str = "puzzles") -> Chosen:
    """At most `most` of `count` puzzles: all where they are no more, else as many of each kind (solved, failed ...) as can be.

    `kinds`: what each is; None where nothing was answered.
    """
    if count <= most:
        return Chosen(tuple(range(count)), f"All {count:,} {what}{_told(kinds, range(count))}.")
    generator = np.random.Generator(np.random.Philox(key=SEED))
    order = generator.permutation(count)
    if kinds is None:
        places = sorted(int(place) for place in order[:most])
        return Chosen(tuple(places), f"{most:,} of {count:,} {what}, chosen by chance (seed {SEED}).")
    of_kind = {kind: [int(place) for place in order if kinds[place] == kind] for kind in sorted(set(kinds))}
    shares = _shares([len(places) for places in of_kind.values()], most)
    kept = sorted(place for places, share in zip(of_kind.values(), shares, strict=True) for place in places[:share])
    told = f"as many of each kind as there are up to an equal share, within each by chance (seed {SEED})"
    return Chosen(tuple(kept), f"{len(kept):,} of {count:,} {what}, {told}{_told(kinds, kept)}.")


def _shares(counts: Sequence[int], most: int) -> list[int]:
    """How many of each kind are taken: equal shares, and what a small kind leaves goes to the others."""
    shares = [0] * len(counts)
    left = most
    while left and any(share < count for share, count in zip(shares, counts, strict=True)):
        open_kinds = [number for number, count in enumerate(counts) if shares[number] < count]
        each = max(1, left // len(open_kinds))
        for number in open_kinds:
            taken = min(each, counts[number] - shares[number], left)
            shares[number] += taken
            left -= taken
    return shares


def _told(kinds: Sequence[str] | None, places: Sequence[int]) -> str:
    """How many of each kind are shown, and of how many."""
    if kinds is None:
        return ""
    shown = [kinds[place] for place in places]
    counts = [f"{shown.count(kind):,} of {list(kinds).count(kind):,} {kind}" for kind in sorted(set(kinds))]
    return f" ({', '.join(counts)})"
