"""The timeline of one detection, read from all rooms: every fact in order, and which party the customer waited for."""
