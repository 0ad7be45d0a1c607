"""Sending webhooks: one attempt after the other, signed, throttled by endpoint, retried by a schedule."""
