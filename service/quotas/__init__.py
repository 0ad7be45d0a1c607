"""Which requests may leave for a vendor now: gates, circuits, and what its answers say of them. Knows no run."""
