"""The rules: what follows from each kind of input. Each is a file named for what it decides."""
