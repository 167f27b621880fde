"""Schedulers: who goes on, who waits and who stops, decided over the same legs and the same boards."""
