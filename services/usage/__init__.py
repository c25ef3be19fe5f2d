"""What is used and what may be: usage recorded and billed, credits granted and consumed.

Owns: movements of usage and credits, each once under its key.
Does not own: their prices (billing).
May import: what services may.
"""
