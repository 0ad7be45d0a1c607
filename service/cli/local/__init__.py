"""The commands that run a whole service on this machine: demo and dev."""
