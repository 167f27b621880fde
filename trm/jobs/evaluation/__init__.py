"""What `evaluate.py` and its neighbours do: options, what is opened, passes, workers, the folder of figures."""
