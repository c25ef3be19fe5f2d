"""Where Perennial reaches out to whoever keeps cards and moves money.

Owns: `port.py` with `cards.py`, `method_types.py`, `persons.py`, `returns.py` and `customer_side.py` (the promise, in
billing's words); `stripe.py` with `answers.py`, `snapshots.py`, `deliveries.py` and `stripe_method_types.py` (the one
adapter), `browser.py` (the customer's half, for the sandbox), `sandbox/` (a Stripe-compatible server); `measured.py`,
`paced.py` and `breaking.py` (any gateway, timed, in its turn, or left alone); `outward.py` (what whoever carries
messages to merchants promises), `https.py` and `targets.py` (who does, and where they may go).
Does not own: decisions about billing; retries across requests (services).
May import: billing. Gateway ids and vocabulary such as `pi_` stay behind this door. The sandbox imports none of our
billing.
"""
