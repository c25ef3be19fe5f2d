"""What GraphQL and the engine cost: `python -m bench`; `bench.engine`: the engine alone; `bench.renewals`: a year.

Owns: the operations that are timed, the bare route that each is compared with, the table of ratios.
Does not own: promises; a ratio is measured on the machine at hand. docs/benchmarks.md keeps one such table.
May import: everything, the tests' databases and house included.
"""
