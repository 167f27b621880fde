"""What the entry points do."""
