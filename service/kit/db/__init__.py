"""Two databases as one: transactions, claims, bulk statements, and what wakes those who wait."""
