"""Samplers, settings and behaviour in a file each, and the study that they see."""
