"""Knobs: what may be searched at a path of a run configuration, and the constraints between them."""
