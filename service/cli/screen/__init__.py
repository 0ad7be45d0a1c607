"""Text for terminals: tables, results, and what numbers mean."""
