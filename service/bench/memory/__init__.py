"""Memory of a process that has nothing to do."""
