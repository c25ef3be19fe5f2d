"""Subscriptions from the wish to their everyday life: ordered, placed, started, renewed, paused.

Owns: what time does to a subscription, and the rows that a new one is made of.
Does not own: changes of what it consists of (amendments), its end (ends), its money (invoices, payments).
May import: what services may.
"""
