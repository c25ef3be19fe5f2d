"""What is asked for: drafts gathered from the rows, invoices written, numbered and withdrawn, discounts on them.

Owns: an invoice from its draft on, but for its payment.
Does not own: computing lines (billing), collecting (payments).
May import: what services may.
"""
