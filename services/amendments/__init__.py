"""Changes of what a subscription consists of: at once, when its period ends, or at a date.

Owns: from a wished change to its rows, and the change that is planned.
Does not own: what a change would cost, told beforehand (quotes).
May import: what services may.
"""
