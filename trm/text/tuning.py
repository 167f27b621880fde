"""Fine-tuning of a language model's adapters on tasks in words: loss on answers alone, AdamW, a line down to zero."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trm.console.long_work import Report
from trm.errors import ConfigError, DivergedError
from trm.seeds import derived_seed
from trm.text.language_model import LanguageModel
from trm.text.prompts import Prompt
from trm.text.settings import TextConfig

NO_LOSS = -100
"""Label of a token that transformers passes over."""


@dataclass(frozen=True)
class Tuned:
    """What fine-tuning came to."""

    examples: int
    too_long: int
    """Examples that were left out."""
    steps: int
    tokens: int
    """That went through the model."""
    losses: tuple[float, ...]
    """A mean an epoch, of an answer's token."""


@dataclass(frozen=True)
class _Example:
    tokens: list[int]
    answer: int
    """Tokens of the answer, at the end."""


def tuned(model: LanguageModel, prompts: Sequence[Prompt], config: TextConfig, report: Report) -> Tuned:
    """Trains the model's adapters in place. ConfigError where no example is short enough, DivergedError for a loss that is none."""
    if not prompts:
        raise ConfigError("fine-tuning needs a task with two demonstrations, and there is none", remedy="set epochs: 0")
    found = [_example(model, prompt) for prompt in prompts]
    examples = [one for one in found if len(one.tokens) <= config.most_tokens]
    if not examples:
        raise ConfigError(
            f"an example must have at most {config.most_tokens} tokens (most_tokens), the shortest of {len(found)} has "
            f"{min(len(one.tokens) for one in found)}",
            remedy="raise most_tokens, or set epochs: 0",
        )
    batches = -(-len(examples) // config.batch_size)
    steps = config.epochs * -(-batches // config.accumulation)
    learning = [parameter for parameter in model.network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=config.lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / max(1, steps))
    model.network.train()
    done, tokens, losses = 0, 0, []
    for epoch in range(config.epochs):
        total = 0.0
        for number, batch in enumerate(_batches(model, examples, config, epoch)):
            loss = model.network(**batch).loss
            if not torch.isfinite(loss):
                raise DivergedError(f"the loss is {loss.item()} in epoch {epoch}, batch {number}")
            (loss / config.accumulation).backward()
            total, tokens = total + float(loss), tokens + int(batch["attention_mask"].sum())
            if (number + 1) % config.accumulation == 0 or number + 1 == batches:
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                done += 1
                report("steps", done, steps)
        losses.append(total / batches)
    return Tuned(len(examples), len(found) - len(examples), done, tokens, tuple(losses))


def _example(model: LanguageModel, prompt: Prompt) -> _Example:
    answer = model.answer_tokens(prompt.answer)
    return _Example([*model.question_tokens(prompt), *answer], len(answer))


def _batches(model: LanguageModel, examples: Sequence[_Example], config: TextConfig, epoch: int) -> Iterator[dict[str, Tensor]]:
    """Every example once, in an order of the seed and the epoch alone."""
    generator = torch.Generator().manual_seed(derived_seed(config.seed, "text order", epoch))
    order = torch.randperm(len(examples), generator=generator).tolist()
    for start in range(0, len(order), config.batch_size):
        yield _batch(model, [examples[number] for number in order[start : start + config.batch_size]])


def _batch(model: LanguageModel, examples: Sequence[_Example]) -> dict[str, Tensor]:
    width = max(len(one.tokens) for one in examples)
    padding = model.tokenizer.pad_token_id if model.tokenizer.pad_token_id is not None else model.tokenizer.eos_token_id
    rows = {"input_ids": list[list[int]](), "attention_mask": list[list[int]](), "labels": list[list[int]]()}
    for one in examples:
        left, asked = width - len(one.tokens), len(one.tokens) - one.answer
        rows["input_ids"].append([*one.tokens, *[padding] * left])
        rows["attention_mask"].append([*[1] * len(one.tokens), *[0] * left])
        rows["labels"].append([*[NO_LOSS] * asked, *one.tokens[asked:], *[NO_LOSS] * left])
    return {name: torch.tensor(values, device=model.device) for name, values in rows.items()}
