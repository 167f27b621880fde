"""Pictures that a sweep leaves in its folder."""
