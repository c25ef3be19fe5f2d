"""Pages for customers of merchants who have none of their own: the checkout.

Owns: what such a page shows and answers, its looks, its security policy. Does not own: what happens to money
(services), how amounts and days are written (resolvers.writing), which path goes where (server).
May import: resolvers, services and what is below them. No framework: plain HTML, a form, and at a real gateway its
script.
"""
