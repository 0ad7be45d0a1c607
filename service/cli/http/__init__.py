"""The HTTP server that every command serves with: one parser, its limits, and its refusals."""
