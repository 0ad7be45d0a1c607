"""Claiming what is due, with few rows waiting and with very many."""
