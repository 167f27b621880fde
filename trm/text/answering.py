"""Questions in words answered by a language model, and what the answers are worth: as votes for grids, scored as ARC's are."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    """Tokens that it has."""
    has_grid: bool
    is_right: bool
    was_asked: bool = True
    """Whether the question was short enough."""


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
    blank = TextAnswer(prompt.row, prompt.puzzle, 0, "", len(question), budget, 0, False, False)
    if len(question) + budget > room:
        return [replace(blank, attempt=attempt, was_asked=False) for attempt in range(config.attempts)]
    made = [_generated(model, question, budget, do_sample=False, num_beams=1, temperature=None, top_p=None, top_k=None)]
    if config.attempts > 1:
        drawn = {"do_sample": True, "temperature": config.temperature, "top_p": 1.0, "top_k": 0}
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(derived_seed(config.seed, "text answers", prompt.row))
            made.append(_generated(model, question, budget, num_return_sequences=config.attempts - 1, **drawn))
    answers = [tokens for some in made for tokens in some[:, len(question) :]]
    return [_judged(model, prompt, replace(blank, attempt=attempt), tokens) for attempt, tokens in enumerate(answers)]


def _generated(model: LanguageModel, question: list[int], budget: int, **how: Any) -> torch.Tensor:
    """The question with each answer behind it."""
    given, end = torch.tensor([question], device=model.device), model.tokenizer.eos_token_id
    mask = torch.ones_like(given)
    made: torch.Tensor = model.network.generate(
        input_ids=given, attention_mask=mask, max_new_tokens=budget, eos_token_id=end, pad_token_id=end, **how
    )
    return made


def _judged(model: LanguageModel, prompt: Prompt, blank: TextAnswer, tokens: torch.Tensor) -> TextAnswer:
    text = str(model.tokenizer.decode(tokens, skip_special_tokens=True))
    grid, right = parsed_grid(text), parsed_grid(prompt.answer)
    is_right = grid is not None and right is not None and grid.shape == right.shape and bool((grid == right).all())
    used = int((tokens != model.tokenizer.eos_token_id).sum())
    return replace(blank, text=text, tokens=used, has_grid=grid is not None, is_right=is_right)


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
