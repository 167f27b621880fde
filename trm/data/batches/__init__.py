"""Which rows a batch takes, as a function of seed and step; knows no puzzle."""
