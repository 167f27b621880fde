"""Builders of data sets: sudoku, maze, arc."""
