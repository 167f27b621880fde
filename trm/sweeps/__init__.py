"""A sweep's folder: claims, checkpoints, tables, earlier sweeps. No Ray."""
