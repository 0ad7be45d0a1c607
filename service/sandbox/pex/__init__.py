"""The twin of Pex's AI Song Detector, written from docs.pex.com, "AI Song Detector: API Documentation"."""
