"""What a vendor is asked for a detection, with callbacks and without."""
