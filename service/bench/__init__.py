"""What the product costs: SQL statements, commits, CPU and time, measured over real sockets on loopback.

A folder for each thing that is measured, with its report; `driving` and `counting` are the means that they share.
"""
