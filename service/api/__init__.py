"""The HTTP API. A handler reads a request, calls a room, and answers; it decides nothing."""
