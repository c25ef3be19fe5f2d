"""Stripe on your own machine: a small ASGI application that speaks Stripe's wire format.

Owns: `Sandbox` (the application, its store, its webhooks), `Faults` (what can go wrong, on request) and
`InProcessTransport` (the official SDK's way in without a socket).
Does not own: anything of our billing; a program meets it through the official SDK only. No real money moves, no real
card number is kept, every object says `livemode: false`.
May import: nothing of ours (its command line takes the system clock from `clocks`). Its store is the one place outside
`models` that speaks SQL; its tables are its own.
"""

from gateways.sandbox.faults import Fault, Faults
from gateways.sandbox.server import Sandbox
from gateways.sandbox.transport import InProcessTransport

__all__ = ["Fault", "Faults", "InProcessTransport", "Sandbox"]
