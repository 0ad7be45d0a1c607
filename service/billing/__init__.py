"""What submissions cost, and who may pay: money, prices, the ledger, budgets. Knows no run."""
