"""The Parquet format and its manifest, augmentation and its inverse, the batch plan."""
