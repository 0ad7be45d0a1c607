"""Webhooks to customers: their endpoints, the fan-out of an event, and its delivery, signed, until it is taken."""
