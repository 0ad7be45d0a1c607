"""Accounts, API keys, and the record that makes a repeated POST harmless."""
