"""All of Ray and nothing else: connection, data feed, workers, legs in place and as gangs, the driver."""
