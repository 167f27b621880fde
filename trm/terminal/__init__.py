"""A sweep on a terminal, and the command lines of the jobs."""
