"""Posed puzzles are answered: weights with their data set's manifest, a batch that rows join at any step, an ASGI application."""
