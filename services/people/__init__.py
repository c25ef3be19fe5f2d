"""Customers as persons: how they come into being, what is known of them, and how they are forgotten.

Owns: customers' profiles and their accounts at the gateway.
Does not own: their cards (wallet), their subscriptions (subscriptions).
May import: what services may.
"""
