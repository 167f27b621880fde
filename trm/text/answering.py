"""Questions in words answered by a language model, and what the answers are worth: as votes for grids, scored as ARC's are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trm.console.long_work import Report
from trm.data.batches.split import Split
from trm.evaluation.scores import Columns, Evaluation, of_puzzles, proportion
from trm.seeds import derived_seed
from trm.stats.intervals import mean_of
from trm.tasks.arc.score import ArcScorer
from trm.tasks.arc.votes import grid_hashes
from trm.text.language_model import LanguageModel
from trm.text.prompts import Prompt, as_canvas, parsed_grid
from trm.text.settings import TextConfig

EVEN = 0.5
"""Halting probability of every vote: between as many votes who was voted for first counts, which is the likeliest answer's grid."""


@dataclass(frozen=True)
class TextAnswer:
    """One answer to a test pair."""

    row: int
    puzzle: int
    attempt: int
    """0: by the likeliest token each."""
    text: str
    question_tokens: int
    budget: int
    """Tokens that it could have."""
    tokens: int
    """Tokens that it has; 0: the question was too long."""
    has_grid: bool
    is_right: bool


def answers_of(model: LanguageModel, prompts: Sequence[Prompt], config: TextConfig, report: Report) -> list[TextAnswer]:
    """`attempts` answers to every question, in their order; draws are functions of seed and row."""
    model.network.eval()
    found: list[TextAnswer] = []
    for number, prompt in enumerate(prompts):
        found += _answers(model, prompt, config)
        report("test pairs", number + 1, len(prompts))
    return found


@torch.no_grad()
def _answers(model: LanguageModel, prompt: Prompt, config: TextConfig) -> list[TextAnswer]:
    question, budget = model.question_tokens(prompt), model.budget(prompt.answer)
    room = min(config.most_tokens, model.most_tokens or config.most_tokens)
    if len(question) + budget > room:
        return [
            TextAnswer(prompt.row, prompt.puzzle, k, "", len(question), budget, 0, False, False) for k in range(config.attempts)
        ]
    given = torch.tensor([question], device=model.device)
    common = {
        "attention_mask": torch.ones_like(given),
        "max_new_tokens": budget,
        "eos_token_id": model.tokenizer.eos_token_id,
        "pad_token_id": model.tokenizer.eos_token_id,
    }
    made = [
        model.network.generate(input_ids=given, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None, **common)[0]
    ]
    if config.attempts > 1:
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(derived_seed(config.seed, "text answers", prompt.row))
            made += list(
                model.network.generate(
                    input_ids=given,
                    do_sample=True,
                    temperature=config.temperature,
                    top_p=1.0,
                    top_k=0,
                    num_return_sequences=config.attempts - 1,
                    **common,
                )
            )
    return [_judged(model, prompt, attempt, len(question), budget, tokens[len(question) :]) for attempt, tokens in enumerate(made)]


def _judged(model: LanguageModel, prompt: Prompt, attempt: int, question: int, budget: int, tokens: torch.Tensor) -> TextAnswer:
    text = str(model.tokenizer.decode(tokens, skip_special_tokens=True))
    grid, right = parsed_grid(text), parsed_grid(prompt.answer)
    is_right = grid is not None and right is not None and grid.shape == right.shape and bool((grid == right).all())
    used = int((tokens != model.tokenizer.eos_token_id).sum())
    return TextAnswer(prompt.row, prompt.puzzle, attempt, text, question, budget, used, grid is not None, is_right)


def votes_of(answers: Sequence[TextAnswer], prompts: Sequence[Prompt], split: Split, config: TextConfig) -> Columns:
    """The answers as ARC's scorers take votes; one without a grid votes for none.

    With exact scoring a text that is not the right one, letter by letter, votes for a grid that nobody else votes for.
    """
    right = {prompt.row: prompt.answer for prompt in prompts}
    canvases = np.array([as_canvas(parsed_grid(answer.text)) for answer in answers])
    votes = grid_hashes(canvases)
    is_right = np.array([answer.is_right for answer in answers])
    if config.scoring == "exact":
        is_right = np.array([answer.text.strip() == right[answer.row] for answer in answers])
        votes = np.where(is_right, votes, -1 - np.arange(len(answers)))
    rows = np.array([answer.row for answer in answers], dtype=np.int64)
    return {
        "row": rows,
        "identifier": np.array([answer.attempt for answer in answers], dtype=np.int64),
        "vote": votes,
        "halting_probability": np.full(len(answers), EVEN),
        "is_exact": is_right,
        "cell_accuracy": _cell_accuracy(canvases, split.labels[rows]),
    }


def _cell_accuracy(answered: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Share of what the right canvas holds, its end marked, that the answer has there."""
    asked = right != 0
    return np.asarray(((answered == right) & asked).sum(1) / asked.sum(1))


def evaluation_of(votes: Columns, split: Split) -> Evaluation:
    """Metrics by the names that a network's evaluation has; intervals count tasks."""
    tasks = split.clusters[votes["row"]]
    numbers, rows = np.unique(tasks, return_counts=True)
    is_exact = votes["is_exact"].astype(np.float64)
    found = proportion("exact_accuracy", mean_of(is_exact), len(numbers)) | ArcScorer(split).scores(votes, tasks)
    cells = votes["cell_accuracy"]
    counts = {"examples": float(len(np.unique(votes["row"]))), "predictions": float(len(tasks)), "cell_accuracy": mean_of(cells)}
    puzzles = {"puzzle": numbers, "exact_accuracy": of_puzzles(is_exact, tasks), "cell_accuracy": of_puzzles(cells, tasks)}
    whole = Evaluation(counts, puzzles=puzzles) | found
    return Evaluation(whole.metrics, whole.standard_errors, whole.puzzles, rows)
