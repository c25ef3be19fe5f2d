"""Ends of subscriptions, and what is left between them and their customers.

Owns: every way in which one ends, and what all of them do.
Does not own: giving money back (refunds), withdrawing invoices (invoices).
May import: what services may.
"""
