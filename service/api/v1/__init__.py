"""What customers call, below `/v1`: one file a noun. Each declares its operations and ends with their list."""
