"""What every member of a door keeps, as checks that tests and `python -m trm.contract` call: a module a door."""
