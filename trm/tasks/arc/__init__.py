"""ARC-AGI: tasks of coloured grids, augmented a thousandfold, answered by vote."""
