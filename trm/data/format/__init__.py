"""Data sets on storage: Parquet shards, their manifest, and whether they still are what it says."""
