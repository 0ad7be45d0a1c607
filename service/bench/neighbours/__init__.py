"""Endpoints that work beside endpoints that do not."""
