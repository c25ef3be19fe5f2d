"""What an act would do to money, told before it is done; and acts held to what was told.

Owns: quotes, previews and forecasts, which read and decide and never write.
Does not own: the acts themselves.
May import: what services may.
"""
