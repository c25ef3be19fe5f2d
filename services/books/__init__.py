"""Proof that the books are right, among themselves and against the gateway's; what is certain is made right.

Owns: the operator's check, passes of reconciling and what they find.
Does not own: moving money: repairs go through the ordinary doors.
May import: what services may.
"""
