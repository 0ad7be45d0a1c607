"""The story of one detection, read from all rooms: every fact in order, and on whom the customer waited."""
