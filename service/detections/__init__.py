"""What customers do with a detection: ask, cancel, ask again, erase, list, read."""
