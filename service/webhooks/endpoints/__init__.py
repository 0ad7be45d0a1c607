"""Customers' endpoints: registered, changed, judged by how their attempts end."""
