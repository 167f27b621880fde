"""The networks: layers, halting and carry, puzzle embedding, cost; a folder an architecture."""
