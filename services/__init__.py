"""One business step per function: load, decide, save, act.

Owns: transactions around a step, the order of commits and gateway calls, leases.
Does not own: rules about money and states (billing), SQL (models), GraphQL (schema, resolvers).
May import: models, gateways.port, billing. GraphQL, webhooks and worker all run these same steps.
"""
