"""The search as a pure state machine over a journal: it needs no cluster."""
