"""AdamATan2, sign SGD, the learning-rate schedule, weight averaging."""
