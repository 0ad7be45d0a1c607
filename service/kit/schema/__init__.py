"""Bringing a database to the schema of this code."""
