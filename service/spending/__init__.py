"""May this run start, and what did it cost: gates, the circuit, prices, the ledger, budgets. Knows no run of ours."""
