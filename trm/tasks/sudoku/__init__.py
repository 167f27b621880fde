"""Sudoku, 4x4 to 9x9 and beyond."""
