"""Webhooks going out."""
