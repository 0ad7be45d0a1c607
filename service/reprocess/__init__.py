"""Stored answers read again by a mended adapter."""
