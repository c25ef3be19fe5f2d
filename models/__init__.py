"""What Perennial remembers: SQLModel rows and every query on them.

Owns: tables, constraints, queries, the database engine and its transactions.
Does not own: decisions (billing), steps (services), the sandbox's store.
May import: billing. The only room that speaks SQL, the sandbox's own store aside.
"""
