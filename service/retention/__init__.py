"""Retention: how long objects are kept, and what is left of them when they go."""
