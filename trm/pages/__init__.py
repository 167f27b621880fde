"""Pages for a browser: one template, and what is shown in it."""
