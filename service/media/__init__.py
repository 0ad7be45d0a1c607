"""The audio we were given: taken in once, hashed, stored, and handed to vendors byte for byte."""
