"""Sharing the work of one event loop: wakes, shares of a capacity, requests that a shutdown ends."""
