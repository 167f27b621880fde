"""Augmentations and their exact inverses, vectorised over the batch."""
