"""The loop, the step, the whole state, checkpoints, legs."""
