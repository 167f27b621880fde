"""TRM Search: finds the best tiny recursive model for a puzzle and a compute budget."""

__version__ = "0.1.0"
