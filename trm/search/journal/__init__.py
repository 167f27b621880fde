"""The journal: one checksummed line an event, one driver at a time; what a trial is as it tells it."""
