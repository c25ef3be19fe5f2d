"""What happened, told: to merchants' endpoints, to readers of the feed, to whoever listens.

Owns: the order and bodies of events; endpoints, their secrets and deliveries.
Does not own: how messages travel (gateways.outward).
May import: what services may.
"""
