"""The search space: its file, its configurations, what a resume may change."""
