"""What we pull: asking vendors when no callback came, and confirming what a callback claimed."""
