"""Verdict Relay: asks outside detectors whether a track was made by AI, and carries one honest answer on.

The floors of this package, and which imports may go where, are drawn in `docs/architecture.md`.
"""
