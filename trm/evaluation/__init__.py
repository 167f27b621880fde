"""Metrics, confidence intervals, ARC voting."""
