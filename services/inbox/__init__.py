"""What the gateway tells: verified, stored once, acknowledged, then worked on.

Owns: the inbox, and whom a piece of news concerns.
Does not own: what follows from it (the steps that read the object itself).
May import: what services may.
"""
