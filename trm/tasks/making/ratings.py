"""How hard puzzles are said to be, as a column of a data set: the same type in every split, or none."""

from collections.abc import Sequence

import numpy as np

from trm.tasks.making.published_csv import PublishedRows


def rating_columns(parts: Sequence[PublishedRows]) -> list[dict[str, np.ndarray]]:
    """The column `rating` of each part: whole numbers where all are, else fractions; none where a row has no rating."""
    if not all(part.is_rated for part in parts):
        return [{} for _ in parts]
    is_whole = all((part.ratings == np.floor(part.ratings)).all() and (part.ratings < 1 << 31).all() for part in parts)
    return [{"rating": part.ratings.astype(np.int32 if is_whole else np.float64)} for part in parts]
