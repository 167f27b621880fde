"""Schedulers, settings and behaviour in a file each, and the rungs that they rank."""
