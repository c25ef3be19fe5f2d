"""Which languages are known: locales by the tags that people and browsers give them.

Owns: tags. Does not own: how amounts and days are written (resolvers.writing). May import: nothing of ours.
"""

import re
from functools import lru_cache

from babel import Locale, UnknownLocaleError

_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,3}", re.ASCII)


@lru_cache(maxsize=256)
def known_locale(tag: str) -> Locale | None:
    """The locale of a BCP 47 tag; None when its language is unknown.

    Any region will do: a pair with its language that is on no list, `en-KW`, is the language as written anywhere.
    """
    if not _TAG.fullmatch(tag):
        return None
    name = tag.replace("-", "_")
    for wanted in (name, name.partition("_")[0]):
        try:
            return Locale.parse(wanted)
        except (UnknownLocaleError, ValueError):
            pass
    return None
