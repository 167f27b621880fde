"""How many puzzles a second does one core generate, and check on import? Rows: what, figures, device, commit."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.rows import emit, parser, spread
from trm.tasks.build import maker_of
from trm.tasks.recipes import load_recipe
from trm.tasks.sudoku.augment import BLANK
from trm.tasks.sudoku.solver import count_solutions

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ("sudoku6x6", "sudoku9x9", "maze_small", "maze_hard")
WARM_UP = 1 << 20
"""A piece that is made before the clock starts, to compile what is not compiled yet."""


def speeds(work: Callable[[int], int], pieces: int) -> dict[str, float | int]:
    """Rows a second of processor time over several pieces; `work` makes a piece and gives its rows."""
    work(WARM_UP)
    found = []
    for number in range(pieces):
        start = time.process_time()
        rows = work(number)
        found.append(rows / (time.process_time() - start))
    return spread(found)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--pieces", type=int, default=9, help="pieces a row (default: 9)")
    given = arguments.parse_args()
    boards = []
    for name in RECIPES:
        maker = maker_of(load_recipe(ROOT / f"datasets/{name}.yaml"))
        assert maker is not None

        def generated(number: int, maker=maker, name=name) -> int:
            columns = maker.piece(number)
            maker.is_new(columns)
            if name == "sudoku9x9":
                boards.append(columns["inputs"] - np.uint8(BLANK))
            return len(columns["inputs"])

        emit({"what": f"{name} puzzles/s generated", **speeds(generated, given.pieces)}, given.out)

    def checked(number: int) -> int:
        part = boards[number % len(boards)]
        count_solutions(part, 9)
        return len(part)

    emit({"what": "9x9 boards/s checked for one solution", **speeds(checked, given.pieces)}, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
