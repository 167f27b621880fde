"""A text baseline: a causal language model asked ARC tasks in words, fine-tuned by low-rank adapters."""
