"""The engine: values in, decisions out.

Owns: money, calendar, state machines, invoices and their explanations, what a gateway's answer means.
Does not own: rows, networks, clocks, identities of people.
May import: the standard library. Synchronous and deterministic; reads no clock, does no I/O.
"""
