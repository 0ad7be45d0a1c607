"""Certificates of answers that a vendor issues: asked for, announced, checked."""
