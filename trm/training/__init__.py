"""The loop, the whole training state, checkpoints, cost."""
