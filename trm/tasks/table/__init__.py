"""Puzzles of one's own, from tables of questions and answers."""
