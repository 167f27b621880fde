"""Tiny recursive models (arXiv 2510.04871) of whatever recursion: their network, their cost, their published weights."""
