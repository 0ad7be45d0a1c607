"""The doors to HTTP: one file a noun, thin. They read a request, ask a room, and answer; they decide nothing."""
