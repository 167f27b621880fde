"""Choosing the next trial: start points, earlier sweeps, the sampler."""
