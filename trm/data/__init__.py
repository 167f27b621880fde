"""Data sets on storage and in batches. Knows no puzzle."""
