"""Search space, objective, journal, and the search as a pure state machine that needs no cluster."""
