"""Runs of what is due: the table of due work, runs on request, test clocks moved on, records of both.

Owns: which steps are due when, and what a run has done.
Does not own: the steps themselves, the worker's loop.
May import: what services may.
"""
