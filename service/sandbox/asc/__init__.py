"""The twin of ASC (AI Song Checker), written from aisongchecker.pro/api-docs (v1.0, March 2026)."""
