"""Parts of a network, told by the names of its parameters: embeddings, heads, and the blocks between them."""

from typing import Literal

Part = Literal["embedding", "block", "head"]
"""What a parameter belongs to."""


def part_of(name: str) -> Part:
    """The part that a parameter belongs to, by the first word of its dotted name: `token_embedding`, `answer_head`, `halting_bias`.

    What is called neither an embedding nor a head, nor is of halting, is of the blocks.
    """
    words = name.partition(".")[0].split("_")
    if "embedding" in words:
        return "embedding"
    return "head" if "head" in words or "halting" in words else "block"
