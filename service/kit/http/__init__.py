"""Requests to vendors, and guarded requests to addresses that customers chose."""
