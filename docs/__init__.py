"""What the house says about itself, and the part of it that is drawn from the code.

Owns: the pages, the decisions, and `python -m docs.generate`, which writes the generated ones.
Does not own: the facts on generated pages; those are changed in the code that they are drawn from.
May import: billing, the codes of schema, the snapshot schema/schema.graphql.
"""
