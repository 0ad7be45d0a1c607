"""The sandbox: stand-ins for the vendors (twins) and for a customer (the receiver), for test mode and demos.

The twins are witnesses: written from the vendors' documents alone, they share no code with the adapters that
talk to them, so a mistake in one is seen by the other. Nothing here reads our database or knows a detection.
"""
