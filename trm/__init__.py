"""TRM Search: finds the best tiny recursive model for a puzzle and a compute budget."""
