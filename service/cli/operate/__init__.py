"""The operator's commands: keys, budgets, vendors' accounts, secrets, doctor, bench."""
