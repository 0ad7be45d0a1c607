"""Where the things of this room stand, as tables. What is not in one cannot happen."""
