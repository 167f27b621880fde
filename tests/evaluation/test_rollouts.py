"""Several rollouts of each row: who is chosen, what is drawn, and that nothing hangs on how rows and rollouts lie in batches."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from evaluation_cases import config_of, manifest_of, score
from hypothesis import given
from hypothesis import strategies as st

from trm.config.run import RunConfig
from trm.data.batches.split import Split
from trm.errors import ConfigError
from trm.evaluation.rollouts import ANSWER, RESIDUAL, answer_numbers, chosen
from trm.models.recursive.network import TinyRecursiveModel

STEPS = 3


def split_of(rows: int) -> Split:
    rng = np.random.default_rng(0)
    inputs, labels = rng.integers(1, 4, (rows, 4)), rng.integers(0, 4, (rows, 4))
    labels[:, :3] = 0  # one cell to hit, so that some rollouts hit it and some do not
    labels[:, 3] = np.maximum(labels[:, 3], 1)
    return Split("test", inputs.astype(np.uint8), labels.astype(np.uint8), np.arange(rows, dtype=np.int32))


def with_evaluation(config: RunConfig, **values: Any) -> RunConfig:
    return RunConfig.model_validate(config.model_dump() | {"evaluation": config.evaluation.model_dump() | values})


def of_steps(config: RunConfig, steps: int) -> RunConfig:
    """What is asked for by nobody too: rollouts after one step are alike without random starts."""
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"steps": steps})})


def network_of(config: RunConfig, manifest: Any) -> TinyRecursiveModel:
    network = TinyRecursiveModel(config.model, manifest.shape, dtype=torch.float64)
    with torch.no_grad():
        network.halting_head.normal_(generator=torch.Generator().manual_seed(1))
        network.halting_bias.fill_(3.0)
    return network


SPLIT = split_of(11)
MANIFEST = manifest_of("sudoku", (2, 2), 4, SPLIT)
CONFIG = config_of(STEPS)
NETWORK = network_of(CONFIG, MANIFEST)


def scores(config: RunConfig, **how: Any) -> Any:
    return score(NETWORK, SPLIT, MANIFEST, config, **how)[0]


def columns(**values: list[list[float]]) -> dict[str, np.ndarray]:
    """Columns (rollouts, rows) of what is written row by row."""
    return {name: np.array(column).T for name, column in values.items()}


def test_each_selector_chooses_by_its_rule() -> None:
    rows = columns(
        answer=[[7, 8, 7, 8], [1, 2, 3, 3], [5, 5, 5, 5]],
        halting_probability=[[0.5, 0.9, 0.6, 0.3], [0.9, 0.1, 0.2, 0.3], [0.2, 0.4, 0.3, 0.1]],
        residual=[[3, 2, 1, 4], [0.5, 0.4, 0.3, 0.2], [1, 1, 1, 1]],
    )
    assert set(rows) == {ANSWER, "halting_probability", RESIDUAL}
    steps, halted = np.array([[3, 2, 2, 3], [3, 3, 3, 3], [1, 1, 2, 1]]).T, np.array([[0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]]).T
    found = {name: chosen(name, rows, steps, halted == 1).tolist() for name in ("vote", "q", "residual", "first_halt")}
    assert found == {
        "vote": [1, 2, 0],  # two votes each, and 8 has the higher mean probability
        "q": [1, 0, 1],
        "residual": [2, 3, 0],
        "first_halt": [1, 0, 1],  # of those that halted first the most sure; nobody halted: the most sure
    }


def _plainly_voted(answers: np.ndarray, probabilities: np.ndarray) -> list[int]:
    """By the rule as it is written, a row at a time."""
    found = []
    for row in range(answers.shape[1]):
        own = answers[:, row]
        votes = [int((own == one).sum()) for one in own]
        means = [
            probabilities[own == one, row].mean() if count == max(votes) else -1 for one, count in zip(own, votes, strict=True)
        ]
        found.append(int(np.argmax(means)))
    return found


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 5), st.integers(0, 1 << 32))
def test_a_vote_is_the_plain_rule(rollouts: int, rows: int, answers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    given_answers = rng.choice(rng.integers(-(1 << 62), 1 << 62, answers), (rollouts, rows))
    probabilities = rng.integers(0, 4, (rollouts, rows)) / 4  # exact, so that means tie where they do
    columns_of = {ANSWER: given_answers, "halting_probability": probabilities}
    steps = np.ones((rollouts, rows), dtype=np.int64)
    assert chosen("vote", columns_of, steps, steps == 1).tolist() == _plainly_voted(given_answers, probabilities)


def test_votes_of_many_rollouts_hold_a_few_numbers_of_each() -> None:
    rollouts, rows = 4096, 8
    rng = np.random.default_rng(0)
    columns_of = {ANSWER: rng.integers(0, 1 << 62, (rollouts, rows)), "halting_probability": rng.random((rollouts, rows))}
    steps = np.ones((rollouts, rows), dtype=np.int64)
    tracemalloc.start()
    found = chosen("vote", columns_of, steps, steps == 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.tolist() == columns_of["halting_probability"].argmax(0).tolist()
    assert peak < 16 * 8 * rollouts * rows  # one bit a pair of rollouts would be 32 times as much a row


def test_answers_have_numbers_that_tell_them_apart() -> None:
    cells = np.stack(np.meshgrid(*[np.arange(4)] * 4), -1).reshape(-1, 4).astype(np.uint8)
    assert len(np.unique(answer_numbers(cells))) == 256


@pytest.mark.parametrize("select", ["vote", "residual"])
def test_nothing_hangs_on_how_rows_and_rollouts_lie_in_batches(select: str) -> None:
    config = with_evaluation(CONFIG, rollouts=5, noise=0.5, starts="random", select=select)
    known = scores(config, batch_size=64)
    for batch_size, slots, workers in ((4, 16, 1), (3, 3, 2)):
        other = scores(with_evaluation(config, batch_size=slots), batch_size=batch_size, workers=workers)
        assert other.metrics == pytest.approx(known.metrics, rel=1e-9)
    assert known.metrics["oracle_accuracy"] >= known.metrics["exact_accuracy"]
    assert known.metrics["oracle_accuracy_low"] < known.metrics["oracle_accuracy"] < known.metrics["oracle_accuracy_high"]


def test_one_rollout_draws_what_the_first_of_several_does_and_none_draws_nothing() -> None:
    plain = scores(CONFIG)
    assert scores(with_evaluation(CONFIG, noise=0.0, starts="own")) == plain
    noisy = scores(with_evaluation(CONFIG, noise=0.5))
    assert noisy.metrics["loss"] != plain.metrics["loss"]
    assert scores(with_evaluation(CONFIG, noise=0.5), draw=1).metrics["loss"] != noisy.metrics["loss"]
    assert scores(with_evaluation(CONFIG, noise=0.5, steps=1)) == scores(with_evaluation(CONFIG, steps=1))  # noise is between steps


def test_random_starts_are_those_of_a_network_that_has_them() -> None:
    config = RunConfig.model_validate(CONFIG.model_dump() | {"model": CONFIG.model.model_dump() | {"initial_latents": "random"}})
    drawing = TinyRecursiveModel(config.model, MANIFEST.shape, dtype=torch.float64)
    drawing.load_state_dict(NETWORK.state_dict(), strict=False)
    expected = score(drawing, SPLIT, MANIFEST, config)[0]
    assert scores(with_evaluation(CONFIG, starts="random")) == expected


@pytest.mark.parametrize("select", ["vote", "residual", "first_halt"])
def test_a_curve_of_rollouts_is_separate_evaluations(select: str) -> None:
    config = with_evaluation(CONFIG, rollouts=4, noise=0.5, select=select)
    found = scores(config, has_curve=True)
    assert found == scores(config)
    for point in found.curve:
        assert point.evaluation == scores(of_steps(config, point.step))
    assert 0 < found.curve[0].halted_share <= found.curve[-1].halted_share


def test_every_breadth_is_a_separate_evaluation() -> None:
    config = with_evaluation(CONFIG, rollouts=5, noise=0.5, starts="random")
    found = scores(config, has_breadth=True).breadth
    assert len(found) == STEPS * (1 + 3 * 4)
    for point in found[::5]:
        own = {"select": point.select} if point.select else {}
        alone = scores(with_evaluation(config, steps=point.steps, rollouts=point.rollouts, **own))
        assert point.puzzles.tolist() == alone.puzzles["exact_accuracy"].tolist()


def test_halted_answers_have_noise_too() -> None:
    config = with_evaluation(CONFIG, noise=0.5)
    beside = scores(with_evaluation(config, reports_halted=True)).metrics
    stopped = scores(config, stops_halted=True).metrics
    assert stopped == pytest.approx({name: beside[name] for name in stopped}, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rollouts": 0}, "evaluation.rollouts must be >= 1, got 0"),
        ({"rollouts": 2, "reports_halted": True}, "set evaluation.reports_halted: false or evaluation.rollouts: 1"),
        ({"noise": -1}, "evaluation.noise must be >= 0, got -1"),
        ({"rollouts": 4}, "4 of this trm would be alike; set evaluation.noise: 0.3 or evaluation.starts: random"),
        ({"rollouts": 4, "noise": 0.3, "steps": 1}, "set evaluation.steps: 2 or more, for noise between steps,"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    from trm.config.files import validated

    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        validated(RunConfig, CONFIG.model_dump() | {"evaluation": values}, "the run")
