"""The loss and its parts by name. Pure functions."""
