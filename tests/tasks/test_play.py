"""Puzzles as people pose them: read and written back, judged by their own rules, solved, and made up."""

from typing import Any

import numpy as np
import pytest
from evaluation_cases import manifest_of

from trm.data.batches.split import Split
from trm.data.format.manifest import Manifest
from trm.errors import QuestionError
from trm.tasks.choice import task_named
from trm.tasks.play import Posed


def manifest(task: str, grid: tuple[int, int], vocabulary: tuple[str, ...]) -> Manifest:
    cells = np.ones((1, grid[0] * grid[1]), dtype=np.uint8)
    made = manifest_of(task, grid, len(vocabulary), Split("test", cells, cells, np.zeros(1, dtype=np.int32)))
    return made.model_copy(update={"vocabulary": vocabulary, "recipe": {}})


BOARD = manifest("sudoku", (4, 4), ("pad", ".", "1", "2", "3", "4"))
MAZE = manifest("maze", (5, 5), ("pad", "#", " ", "S", "G", "o"))
ARC = manifest("arc", (30, 30), ("pad", "end", *map(str, range(10))))
QUESTION = [[1, 0, 0, 4], [0, 4, 1, 0], [0, 1, 4, 0], [4, 0, 0, 1]]
RIGHT = [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
WAYS = ["S    ", "#### ", "     ", " ####", "    G"]


def broken(task: str, of: Manifest, question: Any, answer: np.ndarray, pairs: Any = ()) -> Any:
    play = task_named(task).play
    return play.broken(Posed(play.read(question, of), pairs), answer, of)


def test_a_boards_answer_keeps_clues_and_is_legal() -> None:
    play = task_named("sudoku").play
    posed, right = Posed(play.read(QUESTION, BOARD)), play.read(RIGHT, BOARD)
    assert play.written(right, BOARD) == RIGHT
    assert np.array_equal(play.read(["1..4", ".41.", ".14.", [4, None, "", "1"]], BOARD), posed.cells)
    assert broken("sudoku", BOARD, QUESTION, right) == []
    assert broken("sudoku", BOARD, QUESTION, posed.cells) == ["8 cells have no digit"]
    swapped = play.read([RIGHT[1], RIGHT[0], *RIGHT[2:]], BOARD)
    assert broken("sudoku", BOARD, QUESTION, swapped) == [
        "4 clues are changed: row 1 column 1, row 1 column 4, row 2 column 2, row 2 column 3"
    ]
    doubled = play.read([[1, 2, 2, 4], *RIGHT[1:]], BOARD)
    assert broken("sudoku", BOARD, QUESTION, doubled) == [
        "row 1 has 2 twice or more",
        "column 3 has 2 twice or more",
        "box 2 has 2 twice or more",
    ]


def test_boards_are_solved_or_told_why_not() -> None:
    play = task_named("sudoku").play
    solved = play.solved(Posed(play.read([[1, 2, 3, 4], [3, 4, 0, 0], [2, 0, 4, 0], [0, 0, 0, 1]], BOARD)), BOARD)
    assert play.written(solved, BOARD) == RIGHT
    with pytest.raises(QuestionError, match="this one has more than one solution; add clues"):
        play.solved(Posed(play.read([[0] * 4] * 4, BOARD)), BOARD)
    with pytest.raises(QuestionError, match="this one has no solution; change a clue"):
        play.solved(Posed(play.read([[1, 2, 3, 0], [0, 0, 0, 4], [0] * 4, [0] * 4], BOARD)), BOARD)
    nine = manifest("sudoku", (9, 9), ("pad", ".", *map(str, range(1, 10))))
    hopeless = ".....5.8....6.1.43..........1.5........1.6...3.......553.....61........4........."  # Norvig: 1,439 s in his solver
    with pytest.raises(QuestionError, match="by 32768 guesses, this one takes more; add or change clues"):
        play.solved(Posed(play.read([hopeless[k : k + 9] for k in range(0, 81, 9)], nine)), nine)


@pytest.mark.parametrize("seed", range(3))
def test_random_puzzles_can_be_solved_and_are_functions_of_the_seed(seed: int) -> None:
    for task, of in (("sudoku", BOARD), ("maze", MAZE)):
        play = task_named(task).play
        drawn = play.drawn(seed, of)
        assert np.array_equal(drawn, play.drawn(seed, of))
        solved = play.solved(Posed(drawn), of)
        assert play.broken(Posed(drawn), solved, of) == []
        assert play.broken(Posed(drawn), drawn, of)


def test_a_way_is_a_shortest_one_through_the_very_maze() -> None:
    play = task_named("maze").play
    posed = Posed(play.read(WAYS, MAZE))
    right = play.solved(posed, MAZE)
    assert play.written(right, MAZE) == ["Soooo", "####o", "ooooo", "o####", "ooooG"]
    assert play.broken(posed, right, MAZE) == []
    cut = right.copy()
    cut[4] = 2
    assert play.broken(posed, cut, MAZE) == ["the way does not join start and goal: 14 cells are drawn, a shortest way has 15"]
    wall = right.copy()
    wall[5] = 2
    assert play.broken(posed, wall, MAZE) == ["1 cell of the maze is changed"]
    long = play.read(["S    ", " # # ", "    G", "#####", "#####"], MAZE)
    around = np.array([3, 2, 2, 2, 2, 5, 1, 2, 1, 2, 5, 5, 5, 5, 4, *[1] * 10], dtype=np.uint8)
    assert play.broken(Posed(long), around, MAZE) == []
    more = around.copy()
    more[1] = 5
    assert play.broken(Posed(long), more, MAZE) == ["the way is not a shortest one: 6 cells are drawn, a shortest way has 5"]
    for grid, told in (
        (["S    ", *WAYS[1:4], "    S"], "one start"),
        ([*WAYS[:4], "     "], "one goal"),
        ([*WAYS[:4], "o   G"], "must be '#', ' ', 'S' or 'G'"),
    ):
        with pytest.raises(QuestionError, match=told):
            play.require(Posed(play.read(grid, MAZE)), MAZE)
    with pytest.raises(QuestionError, match="no way leads to the goal; open a wall"):
        play.solved(Posed(play.read(["S    ", "#####", "     ", " ####", "    G"], MAZE)), MAZE)


def test_demonstrations_say_which_shape_and_colours_an_answer_may_have() -> None:
    play = task_named("arc").play
    pairs = tuple(
        (np.array(a, dtype=np.uint8), np.array(b, dtype=np.uint8)) for a, b in (([[1, 2]], [[2, 1]]), ([[1], [2]], [[2], [1]]))
    )
    question = [[1, 2, 1]]
    assert play.written(play.read(question, ARC), ARC) == question
    assert broken("arc", ARC, question, play.read([[2, 1, 2]], ARC), pairs) == []
    assert broken("arc", ARC, question, play.read([[2, 1]], ARC), pairs) == [
        "the answer has 1 by 2 cells, the demonstrations say 1 by 3"
    ]
    assert broken("arc", ARC, question, play.read([[2, 1, 7]], ARC), pairs) == ["no demonstration and no question has colour 7"]
    assert broken("arc", ARC, question, play.read([[2, 1, 7]], ARC)) is None
    assert broken("arc", ARC, question, np.zeros(900, dtype=np.uint8), pairs) == [
        "the answer is no grid: there is no colour in the canvas's corner"
    ]
    for grid, told in (([[10]], "colours 0 to 9"), ([[1], [1, 2]], "equal length"), ([[1] * 31], "1 to 30"), ("x", "list of rows")):
        with pytest.raises(QuestionError, match=told):
            play.read(grid, ARC)


def test_puzzles_without_rules_of_their_own_are_read_by_their_vocabulary() -> None:
    play, of = task_named("other").play, manifest("other", (1, 3), ("pad", "red", "x", "7"))
    assert play.read([["red", 7, "x"]], of).tolist() == [1, 3, 2]
    assert play.written(np.array([0, 3, 1], dtype=np.uint8), of) == [["pad", "7", "red"]]
    assert play.broken(Posed(play.read([["x", "x", "x"]], of)), play.read(["xxx"], of), of) is None
    with pytest.raises(QuestionError, match="one of 'red', 'x', '7', row 1, column 1 is 'pad'"):
        play.read([["pad", "x", "x"]], of)
