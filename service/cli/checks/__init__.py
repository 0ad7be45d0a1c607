"""What `relay doctor` looks at: a small function a check, and `table`, which lists them all."""
