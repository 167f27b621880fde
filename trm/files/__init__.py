"""Files of every kind: written whole or not at all, read within bounds, never through a link that leads elsewhere."""
