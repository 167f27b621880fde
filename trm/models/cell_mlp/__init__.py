"""A recursion per cell (a baseline): what no mixing of cells can do, or as good as none."""
