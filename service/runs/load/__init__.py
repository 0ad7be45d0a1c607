"""What deciding needs, read and locked before: the rows that inputs touch, and what is asked beside them."""
