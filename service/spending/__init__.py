"""May this run start, and what did it cost. So far only the gates' table; the rules come with the spending issue."""
