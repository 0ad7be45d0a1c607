"""Secret keys and what is made with them: seals, tokens, signatures."""
