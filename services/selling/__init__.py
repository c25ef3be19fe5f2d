"""What is on sale: products, plans, prices, features and coupons, put up, changed and withdrawn.

Owns: the catalog's lifecycle, and what follows the gateway's dashboard of it.
Does not own: who has subscribed to what (subscriptions).
May import: what services may.
"""
