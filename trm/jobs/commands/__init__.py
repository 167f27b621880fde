"""Command lines of the jobs: a script of `ray_jobs/` each, and a word of `trm-search`."""
