"""Before a sweep starts: whether it can work, what it will take, what the budget makes of its rungs."""
