"""The twin of Modulate's AI music detection, written from docs.modulate.ai: the batch and the stream."""
