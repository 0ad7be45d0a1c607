"""Durations of recordings, counted by the bytes that are there: one file a family of formats, no format a guess.

What a header claims is believed only as far as the bytes bear it out: a recorder that writes into a pipe does not
know the length when it writes the header, and a file may have been cut. Each function gets the whole file and says
the seconds, or `None`. They may raise on hostile bytes; `probe` catches that.
"""
