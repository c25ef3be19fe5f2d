"""What the rooms of the tests share: databases of their own, and the whole product on them.

Owns: fixtures' machinery. Does not own: expectations. May import: everything.
"""
