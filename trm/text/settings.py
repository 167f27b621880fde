"""What a text baseline is: which model, which tasks, how it is fine-tuned and asked. Imports no torch."""

from typing import Literal

from pydantic import Field

from trm.config.base import Frozen
from trm.config.data import DataConfig


class TextConfig(Frozen):
    """A run of the text baseline; rank, alpha, rates, epochs and batches are those of arXiv 2512.11847."""

    model: str = Field(min_length=1)
    """A causal model of transformers: its folder, or its name on the Hugging Face hub; weights as safetensors."""
    data: DataConfig = DataConfig(recipe="datasets/arc1.yaml")
    """An ARC data set."""
    split: Literal["validation", "test"] = "test"
    """Whose test pairs are asked."""
    max_examples: int | None = Field(None, ge=1)
    """Test pairs that are asked, the first ones; null: all."""
    quantized: Literal["auto", "4bit", "none"] = "auto"
    """Whether the frozen weights are held in 4 bits (QLoRA, arXiv 2305.14314); auto: on CUDA with bitsandbytes, else not (LoRA)."""
    rank: int = Field(16, ge=1, le=1024)
    """Of the adapters, which all linear layers get."""
    alpha: int = Field(16, ge=1)
    """Scale of the adapters, by their rank."""
    lr: float = Field(2e-4, gt=0, lt=1)
    """Learning rate of the first step; a line leads to zero after the last."""
    epochs: int = Field(2, ge=0)
    """Times that every training example is seen; 0: the model is asked as it is."""
    batch_size: int = Field(2, ge=1)
    """Examples that go through the model together."""
    accumulation: int = Field(4, ge=1)
    """Of these batches make a step."""
    most_tokens: int = Field(8192, ge=16)
    """Of a question with its answer; longer examples are not trained on, longer questions not answered."""
    attempts: int = Field(2, ge=1, le=1000)
    """Answers to a test pair, which vote: one by the likeliest token each, the others drawn."""
    temperature: float = Field(0.7, gt=0, le=10)
    """Of drawn answers."""
    scoring: Literal["parsed", "exact"] = "parsed"
    """An answer is right when the grid in it is (parsed), or when its text is, letter by letter (exact)."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Of adapters, the order of examples, and drawn answers."""
