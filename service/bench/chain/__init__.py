"""The whole chain, from upload to webhook."""
