"""Money on its way to us: one intent for each invoice, tried, asked about, settled, dunned, or recorded by hand.

Owns: leases of payments, keys given to the gateway, the one door through which a payment ends.
Does not own: what is asked for (invoices), what goes back (refunds).
May import: what services may.
"""
