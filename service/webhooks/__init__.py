"""How facts reach the customer: endpoints, the fan-out of an event, and its delivery, signed, until taken."""
