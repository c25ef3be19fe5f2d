"""GraphQL as clients see it: names, descriptions, shapes.

Owns: types, inputs, payloads, document limits, GraphQL over HTTP.
Does not own: queries, rules, access decisions. `schema.graphql` beside this file is the committed snapshot.
May import: resolvers and what lies below it.
"""
