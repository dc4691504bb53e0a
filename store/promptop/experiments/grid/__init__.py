"""Many calls as one run: who makes them, and the cells in which their answers are kept."""
