"""From callback to customer."""
