"""An evaluation counts what it says, the same for every batch size and number of workers."""

from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import PreparedAnswers, config_of, manifest_of, score

from trm.config.networks import DataShape
from trm.config.recursive_networks import TransformerConfig
from trm.config.run import RunConfig
from trm.data.batches.plan import EvaluationPlan
from trm.data.batches.split import Split
from trm.data.format.manifest import PartInfo
from trm.errors import DatasetError
from trm.evaluation.evaluate import Evaluation, evaluate
from trm.evaluation.metrics import METRICS, Answered, Metric
from trm.models.recursive.network import TinyRecursiveModel
from trm.tasks.arc.augment import CANVAS, apply, canvas
from trm.tasks.augment import augmenter_for
from trm.tasks.choice import task_named
from trm.tasks.maze.solver import solve
from trm.tasks.metrics import metric_names


def split_of(inputs: np.ndarray, labels: np.ndarray) -> Split:
    return Split("test", inputs.astype(np.uint8), labels.astype(np.uint8), np.arange(len(inputs), dtype=np.int32))


QUESTIONS = np.array([[1, 1, 2, 3], [1, 2, 1, 3], [2, 1, 1, 1], [3, 3, 1, 2]])
ANSWERS = np.array([[2, 3, 2, 3], [3, 2, 2, 3], [2, 3, 3, 0], [3, 3, 2, 2]])  # the last cell of board 2 has no label
BLANK_ANSWER = np.array([1, 1, 1, 1])
BOARDS = split_of(QUESTIONS, ANSWERS)


def board_scores(**how: int) -> list[Evaluation]:
    """Board 0 is right from step 1, board 1 from step 2, board 2 is right but doubts it, board 3 is never right."""
    right = [row.copy() for row in ANSWERS]
    right[2][3] = 2
    wrong = np.array([3, 3, 3, 2])
    prepared = {0: [right[0]], 1: [BLANK_ANSWER, right[1]], 2: [BLANK_ANSWER, BLANK_ANSWER, right[2]], 3: [wrong]}
    wishes = {0: [1.0], 1: [-1.0, 2.0], 2: [-1.0], 3: [-1.0, 1.0, -1.0]}
    keys = [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    network = PreparedAnswers(DataShape(4, 4, 1), {keys[i]: prepared[i] for i in prepared}, {keys[i]: wishes[i] for i in wishes})
    return score(network, BOARDS, manifest_of("sudoku", (2, 2), 4, BOARDS), config_of(4), **how)


def test_every_metric_counts_what_it_says() -> None:
    metrics = board_scores()[0].metrics
    assert metrics["exact_accuracy"] == 0.75
    assert (metrics["exact_accuracy_at_1"], metrics["exact_accuracy_at_2"]) == (0.25, 0.5)
    assert "exact_accuracy_at_4" not in metrics
    assert metrics["cell_accuracy"] == (1 + 1 + 1 + 0.75) / 4
    assert metrics["fill_accuracy"] == (1 + 1 + 2 / 3 + 0) / 4  # the blank cell without a label counts as not filled
    assert metrics["q_halt_accuracy"] == 0.75  # board 2 is right and says it is not
    assert metrics["mean_halting_step"] == (1 + 2 + 4 + 2) / 4
    assert (metrics["examples"], metrics["predictions"]) == (4, 4)
    assert (metrics["exact_accuracy_low"], metrics["exact_accuracy_high"]) == pytest.approx((0.3006, 0.9544), abs=5e-5)
    right = -np.log(10 / 13)  # stablemax of a logit of 9 against three of 0
    assert metrics["loss"] == pytest.approx((3 * right + 0.75 * right + 0.25 * -np.log(1 / 13)) / 4, rel=1e-12)


def test_means_over_puzzles_are_told_of_each_puzzle() -> None:
    found = board_scores(batch_size=3)[0]
    assert found.puzzles["puzzle"].tolist() == [0, 1, 2, 3]
    assert found.puzzles["exact_accuracy"].tolist() == [1, 1, 1, 0]
    assert found.puzzles["fill_accuracy"].tolist() == pytest.approx([1, 1, 2 / 3, 0])
    for name in found.puzzles.keys() - {"puzzle"}:
        assert found.puzzles[name].mean() == pytest.approx(found.metrics[name])


def test_the_parts_of_a_mixture_are_scored_each() -> None:
    keys = [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    answers = [row.copy() for row in ANSWERS]
    answers[1] = BLANK_ANSWER
    network = PreparedAnswers(
        DataShape(4, 4, 1), {key: [row] for key, row in zip(keys, answers, strict=True)}, {key: [1.0] for key in keys}
    )
    parts = (PartInfo(name="a", groups=(0, 3)), PartInfo(name="b", groups=(3, 4)), PartInfo(name="none", groups=(4, 9)))
    manifest = manifest_of("sudoku", (2, 2), 4, BOARDS).model_copy(update={"parts": parts})
    plan = EvaluationPlan(BOARDS, manifest, augmenter_for, batch_size=3, max_examples=None, seed=0)
    found = evaluate(
        network,
        None,
        plan,
        manifest=manifest,
        scorer=task_named(manifest.task).scorer(manifest, BOARDS),
        config=config_of(1),
        device="cpu",
    )
    shares = {name: value for name, value in found.metrics.items() if name.startswith("exact_accuracy/")}
    assert (shares["exact_accuracy/a"], shares["exact_accuracy/b"]) == (2 / 3, 1)
    assert sorted(shares) == [f"exact_accuracy/{part}{end}" for part in "ab" for end in ("", "_high", "_low")]
    assert found.metrics["exact_accuracy"] == 0.75


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_no_bit_depends_on_batch_size_or_workers(batch_size: int, workers: int) -> None:
    expected = board_scores()[0]
    assert board_scores(batch_size=batch_size, workers=workers) == [expected] * workers


def test_a_real_network_scores_the_same_at_every_batch_size() -> None:
    rng = np.random.default_rng(0)
    split = split_of(rng.integers(1, 4, (37, 4)), rng.integers(0, 4, (37, 4)))
    manifest, config = manifest_of("sudoku", (2, 2), 4, split), config_of(3)
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float32)
    one, other = (score(network, split, manifest, config, batch_size=size)[0].metrics for size in (1, 37))
    assert one == pytest.approx(other, rel=1e-5)


@pytest.mark.parametrize("stops_halted", [False, True])
def test_what_a_network_draws_hangs_on_seed_row_and_number_of_the_draw(stops_halted: bool) -> None:
    rng = np.random.default_rng(0)
    split = split_of(rng.integers(1, 4, (37, 4)), rng.integers(0, 4, (37, 4)))
    drawing = {"initial_latents": "random", "path_noise": 0.1, "path_noise_in": "always", "halt_max_steps": 3}
    manifest, config = manifest_of("sudoku", (2, 2), 4, split), config_of(3)
    config = config.model_copy(update={"model": config.model.model_copy(update=drawing)})
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float64)

    def loss(config: RunConfig, batch_size: int, *, workers: int = 1, draw: int = 0) -> float:
        found = score(
            network, split, manifest, config, batch_size=batch_size, workers=workers, stops_halted=stops_halted, draw=draw
        )
        return found[0].metrics["loss_halted" if stops_halted else "loss"]

    once = loss(config, 37)
    for again in (loss(config, 1), loss(config, 5, workers=2)):
        assert again == pytest.approx(once, rel=1e-12)
    others = [loss(config, 37, draw=1), loss(config, 37, draw=2), loss(config.model_copy(update={"seed": 9}), 37)]
    assert len({once, *others}) == 4


def test_a_network_that_stops_evaluations_is_scored_at_each_row_s_first_halt() -> None:
    """Every board is right at step 2, where it wants to halt, and wrong before and after; the last one never wants to."""
    manifest, keys = manifest_of("sudoku", (2, 2), 4, BOARDS), [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    answers = {key: [BLANK_ANSWER, row, BLANK_ANSWER] for key, row in zip(keys, ANSWERS, strict=True)}
    wishes: dict[bytes, list[Any]] = {key: [(1.0, 2.0), (-1.0, -2.0), (3.0, 2.0)] for key in keys}
    wishes[keys[3]] = [(1.0, 2.0)]
    network = PreparedAnswers(DataShape(4, 4, 1), answers, wishes)
    found = {}
    for stops in (True, False):
        config = config_of(4)
        model = TransformerConfig(hidden_size=16, num_heads=2, halt_max_steps=4, act_inference=stops)
        told = config.evaluation.model_copy(update={"reports_halted": True})
        config = config.model_copy(update={"model": model, "evaluation": told})
        found[stops] = score(network, BOARDS, manifest, config)[0].metrics
        assert score(network, BOARDS, manifest, config, stops_halted=True)[0].metrics["exact_accuracy_halted"] == 0.75
    assert (found[True]["exact_accuracy"], found[False]["exact_accuracy"]) == (0.75, 0)
    for metrics in found.values():
        assert (metrics["exact_accuracy_halted"], metrics["exact_accuracy_at_1"]) == (0.75, 0)
        assert (metrics["mean_halting_step"], metrics["exact_accuracy_at_2"]) == ((2 + 2 + 2 + 4) / 4, 1)


def test_fewer_or_more_steps_can_be_asked_for() -> None:
    split, manifest = BOARDS, manifest_of("sudoku", (2, 2), 4, BOARDS)
    keys = [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    steps = [[BLANK_ANSWER] * 5 + [row] for row in ANSWERS]
    network = PreparedAnswers(DataShape(4, 4, 1), dict(zip(keys, steps, strict=True)), {key: [-1.0] for key in keys})
    config = config_of(2)
    more = config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"steps": 6})})
    assert score(network, split, manifest, config)[0].metrics["exact_accuracy"] == 0
    metrics = score(network, split, manifest, more)[0].metrics
    assert (metrics["exact_accuracy"], metrics["exact_accuracy_at_4"], metrics["mean_halting_step"]) == (1, 0, 6)


def test_with_a_continue_head_halting_means_that_it_beats_continuing() -> None:
    keys = [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    wishes = {key: [(3.0, 4.0), (3.0, 4.0), (-1.0, -2.0)] for key in keys}
    network = PreparedAnswers(DataShape(4, 4, 1), {key: [BLANK_ANSWER] for key in keys}, wishes)
    manifest = manifest_of("sudoku", (2, 2), 4, BOARDS)
    assert score(network, BOARDS, manifest, config_of(4, no_ACT_continue=False))[0].metrics["mean_halting_step"] == 3
    assert score(network, BOARDS, manifest, config_of(4))[0].metrics["mean_halting_step"] == 1


def test_a_maze_is_solved_by_any_shortest_path() -> None:
    maze = np.array([[3, 2, 2, 2, 1, 2, 2, 2, 4], [3, 2, 4, 2, 2, 2, 2, 2, 2]], dtype=np.uint8)  # S..|.#.|..G and S.G|...|...
    labels = solve(maze, (3, 3))
    other_way = np.array([3, 5, 5, 2, 1, 5, 2, 2, 4])
    detour = np.array([3, 2, 4, 5, 5, 5, 2, 2, 2])
    split = split_of(maze, labels)
    keys = [row.tobytes() for row in maze]
    network = PreparedAnswers(DataShape(9, 6, 1), {keys[0]: [other_way], keys[1]: [detour]}, {key: [1.0] for key in keys})
    found = score(network, split, manifest_of("maze", (3, 3), 6, split), config_of(2))[0]
    metrics = found.metrics
    assert found.puzzles["shortest_path_accuracy"].tolist() == [1, 0]
    assert metrics["exact_accuracy"] == 0
    assert metrics["shortest_path_accuracy"] == 0.5
    assert metrics["path_recall"] == metrics["path_precision"] == metrics["path_f1"] == 0
    assert metrics["shortest_path_accuracy_low"] < 0.5 < metrics["shortest_path_accuracy_high"]
    network.answers = {key: [row] for key, row in zip(keys, maze, strict=True)}
    metrics = score(network, split, manifest_of("maze", (3, 3), 6, split), config_of(2))[0].metrics
    assert metrics["path_recall"] == metrics["path_precision"] == metrics["path_f1"] == 0  # nothing was drawn
    assert metrics["cell_accuracy"] == (6 / 9 + 8 / 9) / 2
    network.answers = {keys[0]: [np.array([3, 5, 5, 5, 1, 2, 5, 5, 4])], keys[1]: [labels[1]]}
    metrics = score(network, split, manifest_of("maze", (3, 3), 6, split), config_of(2))[0].metrics
    assert (metrics["path_recall"], metrics["path_precision"]) == (1, (3 / 5 + 1) / 2)
    assert metrics["path_f1"] == pytest.approx((2 * 3 / 8 + 1) / 2, rel=1e-12)
    assert metrics["shortest_path_accuracy"] == 0.5


def arc_split() -> Split:
    """Task 1 with two test pairs, task 2 with one; three identifiers each: as it is, turned, recoloured."""
    rng = np.random.default_rng(4)
    inputs = canvas([rng.integers(0, 10, (3, 4)) for _ in range(3)])
    labels = canvas([rng.integers(0, 10, size) for size in ((2, 5), (4, 4), (1, 7))])
    swapped = 8 * 40320 * 1
    starts, codes = np.array([1, 1, 4, 7], dtype=np.int64), np.array([0, 0, 1, swapped, 0, 6, swapped + 3], dtype=np.int32)
    return Split("test", inputs, labels, np.array([1, 1, 2], dtype=np.int32), starts, codes)


@pytest.mark.parametrize("workers", [1, 2])
def test_arc_is_scored_by_task_and_its_errors_count_tasks(workers: int) -> None:
    split = arc_split()
    manifest = manifest_of("arc", (CANVAS, CANVAS), 12, split)
    wrong = canvas([np.full((2, 2), colour) for colour in range(10)])
    asked, answers, wishes = [], {}, {}

    def prepare(row: int, identifier: int, truth: np.ndarray, probability: float) -> None:
        code = split.identifier_codes[[identifier]]
        key = apply(split.inputs[[row]], code)[0].tobytes()
        asked.append(key)
        answers[key], wishes[key] = [apply(truth[None], code)[0]], [probability]

    for identifier in (1, 2, 3):
        prepare(0, identifier, split.labels[0], -2.0)  # all three augmentations agree on the truth: first
    prepare(1, 1, wrong[0], 3.0)  # three different grids: the truth is second by its halting probability
    prepare(1, 2, split.labels[1], 2.0)
    prepare(1, 3, wrong[1], 1.0)
    prepare(2, 4, wrong[2], 0.0)  # two votes for one wrong grid, one for another: never right
    prepare(2, 5, wrong[2], 0.0)
    prepare(2, 6, wrong[3], 9.0)
    assert len(set(asked)) == 9
    network = PreparedAnswers(manifest.shape, answers, wishes)
    found = score(network, split, manifest, config_of(1), batch_size=2, workers=workers)
    metrics = found[0].metrics
    assert found == [found[0]] * workers
    assert (metrics["pass_at_1"], metrics["pass_at_2"]) == (0.25, 0.5)
    puzzles = found[-1].puzzles
    assert puzzles["puzzle"].tolist() == [1, 2]
    assert (puzzles["pass_at_1"].tolist(), puzzles["pass_at_2"].tolist()) == ([0.5, 0], [1, 0])
    assert puzzles["exact_accuracy"].tolist() == pytest.approx([4 / 6, 0])
    assert (metrics["tasks"], metrics["test_pairs"], metrics["examples"], metrics["predictions"]) == (2, 3, 3, 9)
    assert metrics["exact_accuracy"] == pytest.approx(4 / 9)
    assert metrics["pass_at_2_high"] - metrics["pass_at_2_low"] > 0.8  # two tasks say little, however many votes
    assert metrics["exact_accuracy_high"] - metrics["exact_accuracy_low"] > 0.8


def test_progress_is_told_and_no_gradient_is_kept() -> None:
    rng = np.random.default_rng(0)
    split = split_of(rng.integers(1, 4, (5, 4)), rng.integers(1, 4, (5, 4)))
    manifest, config, told = manifest_of("sudoku", (2, 2), 4, split), config_of(2), []
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float32)
    plan = EvaluationPlan(split, manifest, augmenter_for, batch_size=2, max_examples=None, seed=0)
    evaluate(
        network,
        None,
        plan,
        manifest=manifest,
        scorer=task_named(manifest.task).scorer(manifest, split),
        config=config,
        device="cpu",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_split_without_rows_is_refused() -> None:
    split = split_of(np.zeros((0, 4)), np.zeros((0, 4)))
    manifest, config = manifest_of("sudoku", (2, 2), 4, split), config_of(2)
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float32)
    plan = EvaluationPlan(split, manifest, augmenter_for, batch_size=2, max_examples=None, seed=0)
    with pytest.raises(DatasetError, match="split test of tiny gives 0 for 1"):
        evaluate(
            network,
            None,
            plan,
            manifest=manifest,
            scorer=task_named(manifest.task).scorer(manifest, split),
            config=config,
            device="cpu",
        )


def test_a_metric_of_all_puzzles_is_one_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_cell(answered: Answered) -> np.ndarray:
        return (answered.predictions[:, 0] == answered.batch.batch.labels[:, 0]).astype(np.float64)

    monkeypatch.setattr("trm.evaluation.metrics.METRICS", [*METRICS, Metric("first_cell", column=first_cell)])
    monkeypatch.setattr("trm.evaluation.evaluate.METRICS", [*METRICS, Metric("first_cell", column=first_cell)])
    manifest, config = manifest_of("sudoku", (2, 2), 4, BOARDS), config_of(1)
    keys = [row.astype(np.uint8).tobytes() for row in QUESTIONS]
    network = PreparedAnswers(
        DataShape(4, 4, 1), {key: [row] for key, row in zip(keys, ANSWERS, strict=True)}, {key: [1.0] for key in keys}
    )
    plan = EvaluationPlan(BOARDS, manifest, augmenter_for, batch_size=3, max_examples=None, seed=0)
    scorer = task_named(manifest.task).scorer(manifest, BOARDS)
    found = evaluate(network, None, plan, manifest=manifest, scorer=scorer, config=config, device="cpu")
    labels = BOARDS.labels[:, 0]
    wanted = np.mean([answer.reshape(-1)[0] == label for answer, label in zip(ANSWERS, labels, strict=True)])
    assert found.metrics["first_cell"] == pytest.approx(wanted)
    assert "first_cell" in metric_names("sudoku", 1)
