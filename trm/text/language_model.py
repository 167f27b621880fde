"""A causal language model of transformers with its tokenizer, and adapters of peft: loaded without running what it brings."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trm.errors import CheckpointError, ConfigError
from trm.text.prompts import Prompt
from trm.text.settings import TextConfig

EXTRA = ("transformers", "peft")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """What answers in words."""

    network: Any
    tokenizer: Any
    device: torch.device
    is_quantized: bool

    @property
    def parameters(self) -> int:
        """Weights, adapters included."""
        return sum(int(parameter.numel()) for parameter in self.network.parameters())

    @property
    def most_tokens(self) -> int | None:
        """What it can read at once; None: nobody says."""
        found = getattr(self.network.config, "max_position_embeddings", None)
        return None if found is None else int(found)

    def question_tokens(self, prompt: Prompt) -> list[int]:
        """A question."""
        return list(self.tokenizer(prompt.text)["input_ids"])

    def answer_tokens(self, text: str) -> list[int]:
        """An answer, with the token that ends it."""
        return [*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]

    def budget(self, answer: str) -> int:
        """Tokens that an answer may have: those of the right one and of one row more.

        A longer answer is wrong in any case, so what is cut off decides nothing.
        """
        return len(self.answer_tokens(f"{answer}\n{answer.rpartition(chr(10))[2]}"))


def require_extra() -> None:
    """ConfigError where what the text baseline needs is not installed."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the text baseline needs {' and '.join(EXTRA)}, {' and '.join(missing)} is not installed",
            remedy="pip install 'trm-search[llm]'",
        )


def is_4bit(config: TextConfig, device: torch.device) -> bool:
    """Whether the frozen weights are held in 4 bits. ConfigError where that is asked for and not to be had."""
    is_there = device.type == "cuda" and importlib.util.find_spec("bitsandbytes") is not None
    if config.quantized == "4bit" and not is_there:
        raise ConfigError(
            f"quantized: 4bit needs CUDA and bitsandbytes, this is {device.type}",
            remedy="use quantized: auto, which takes plain low-rank adapters here, or pip install bitsandbytes on a GPU",
        )
    return is_there and config.quantized != "none"


def load_model(config: TextConfig, device: torch.device) -> LanguageModel:
    """The model of a configuration, without adapters. CheckpointError where it cannot be loaded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    has_4bit = is_4bit(config, device)
    options: dict[str, Any] = {"dtype": torch.bfloat16 if device.type == "cuda" else torch.float32}
    if has_4bit:
        options["device_map"] = {"": 0}
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.model, trust_remote_code=False)
        network = AutoModelForCausalLM.from_pretrained(config.model, use_safetensors=True, trust_remote_code=False, **options)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(
            f"model must name a causal model of transformers with safetensors, {config.model!r} cannot be loaded: {error}",
            remedy="give its folder, or a name of the hub that this machine can reach",
        ) from error
    if tokenizer.eos_token_id is None:
        raise CheckpointError(
            f"a tokenizer must have a token that ends a text, that of {config.model!r} has none", remedy="set one"
        )
    if not has_4bit:
        network = network.to(device)
    return LanguageModel(network, tokenizer, device, has_4bit)


def with_adapters(model: LanguageModel, config: TextConfig) -> LanguageModel:
    """The model with fresh adapters on all its linear layers, which alone learn."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    network = prepare_model_for_kbit_training(model.network) if model.is_quantized else model.network
    lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = get_peft_model(network, lora)
    return LanguageModel(network, model.tokenizer, model.device, model.is_quantized)


def with_saved_adapters(model: LanguageModel, folder: Path) -> LanguageModel:
    """The model with adapters that were saved, as safetensors."""
    from peft import PeftModel

    return LanguageModel(PeftModel.from_pretrained(model.network, str(folder)), model.tokenizer, model.device, model.is_quantized)
