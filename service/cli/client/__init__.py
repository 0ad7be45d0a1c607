"""The commands of a customer: they use the API of a running service, and no database."""
