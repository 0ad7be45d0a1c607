"""What vendors push: taken in, made durable, acknowledged, and only then thought about."""
