"""From a request to our own calls: identity, access, batching.

Owns: who is calling, what they may do, loaders, when what is followed is read again, links and tokens that are signed.
Does not own: GraphQL types, SQL, rules. Returns rows or raises.
May import: services, models (reads), billing.
"""
