"""What a sweep spends and what fits: compute, time, memory."""
