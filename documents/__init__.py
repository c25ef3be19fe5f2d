"""What a customer can print and keep: invoices and credit notes as PDF.

Owns: what stands on a document, its looks, how it is set. Does not own: the figures (models, billing), how amounts and
days are written (resolvers.writing), who may open it (resolvers.document_links), HTTP (server).
May import: resolvers, models, billing. The typesetter and its fonts are an extra that may be missing.
"""
