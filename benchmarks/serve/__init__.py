"""Serving against the bare network."""
