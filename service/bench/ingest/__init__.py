"""Callbacks coming in."""
