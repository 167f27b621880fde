"""The only room that starts or calls Ray: connection, data feed, legs, driver, resume."""
