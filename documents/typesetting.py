"""Setting a document: Typst, with fonts that come as packages, so that it looks the same on every machine.

The creation date is the document's own, so the same document is the same file, byte for byte.
"""

from dataclasses import asdict
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from documents.content import Document

if TYPE_CHECKING:
    import typst

_TEMPLATE = Path(__file__).with_name("template.typ")
_FONTS = {
    "fontpkg_noto_sans": "files",
    "fontpkg_noto_sans_arabic": "files",
    "fontpkg_noto_sans_devanagari": "files",
    "fontpkg_noto_sans_thai": "files",
    "manimgx_fonts_cjk": "",
}
"""Package → the folder in it that holds fonts."""

# The same Han character is drawn differently in each of these; Japan's way is ours unless the locale says better.
_HAN = {"zh": "SC", "zh_Hant": "TC", "zh_Hant_HK": "HK", "zh_Hant_MO": "HK", "ko": "KR"}


def is_installed() -> bool:
    """Whether the extra of requirements-pdf.txt is there."""
    return all(find_spec(package) is not None for package in ("typst", *_FONTS))


def typeset(document: Document) -> bytes:
    """The document as a PDF. It takes tens of milliseconds of a processor: not for the event loop."""
    import typst

    content = orjson.dumps({**asdict(document), "fonts": _families(document.locale)}).decode()
    made = typst.compile(
        _TEMPLATE, root=_TEMPLATE.parent, font_paths=_fonts(), format="pdf", sys_inputs={"document": content}
    )
    assert isinstance(made, bytes)
    return made


def _families(locale: str) -> list[str]:
    """The fonts, in the order in which a character is looked for."""
    parts = locale.split("_")
    ways = (_HAN.get("_".join(parts[:length])) for length in range(len(parts), 0, -1))
    han = next((way for way in ways if way is not None), "JP")
    return [
        "Noto Sans",
        f"Noto Sans CJK {han}",
        "Noto Sans Arabic",
        "Noto Sans Devanagari",
        "Noto Sans Thai",
    ]


@lru_cache(maxsize=1)
def _fonts() -> "typst.Fonts":
    """Read once per process; the machine's own fonts are left out, so that none changes the looks."""
    import typst

    folders = []
    for package, folder in _FONTS.items():
        spec = find_spec(package)
        assert spec is not None  # whoever typesets has asked `is_installed`
        assert spec.submodule_search_locations is not None
        folders.append(Path(spec.submodule_search_locations[0]) / folder)
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=folders)
