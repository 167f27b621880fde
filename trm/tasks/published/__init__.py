"""Data sets in the published code's array format, both ways."""
