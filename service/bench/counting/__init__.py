"""What is counted: SQL statements and commits, by stage; none of it is timed but CPU."""
