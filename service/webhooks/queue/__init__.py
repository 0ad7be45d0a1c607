"""The queue of deliveries: claim, record, hold, defer, requeue."""
