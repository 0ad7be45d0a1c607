"""Who asks, and how we know: accounts, API keys, and the record that makes a repeated POST harmless."""
