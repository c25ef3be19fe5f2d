"""Money on its way back: refunds, disputes, and the credit notes that go with them.

Owns: rows of what went back, each under the gateway's reference.
Does not own: how much may go back (billing.returning).
May import: what services may.
"""
