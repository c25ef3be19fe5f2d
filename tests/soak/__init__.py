"""Long runs that break things: the same storms that the tests run with a short seed, behind `make soak`.

Owns: storms and their invariants. Does not own: expectations of single steps. May import: everything.
"""
