"""What the cells of a maze can be."""

WALL, SPACE, START, GOAL, PATH = 1, 2, 3, 4, 5
VOCABULARY = ("pad", "#", " ", "S", "G", "o")
