"""The states of the things of this room, as tables. What is not in one cannot happen."""
