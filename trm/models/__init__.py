"""The networks: layers, the recursion, halting and carry, puzzle embedding."""
