"""A folder a puzzle: its recipe, how it is built, solved, augmented, scored and drawn; and what knows all of them."""
