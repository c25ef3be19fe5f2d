"""Saved cards: kept, chosen, changed and taken away; and which ways to pay there are.

Owns: our picture of cards, the customer's default.
Does not own: trying a card (payments).
May import: what services may.
"""
