"""What operators and developers call: probes, figures, and the API's own document. None of it needs an API key."""
