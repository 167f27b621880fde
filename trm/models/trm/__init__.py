"""The Tiny Recursive Model (arXiv 2510.04871): its network, its cost, its published weights."""
