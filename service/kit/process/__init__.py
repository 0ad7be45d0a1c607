"""The life of one process: its heartbeat, its shutdown, its watchdog."""
