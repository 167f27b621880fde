"""Mazes: the shortest path from start to goal."""
