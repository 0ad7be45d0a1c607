"""What the product costs: SQL statements, commits, CPU and time, measured over real sockets on loopback."""
