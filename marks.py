"""Pictures of names: a plain mark for each way to pay, drawn here so that no page depends on another's files."""

from xml.sax.saxutils import escape

_HEIGHT, _PADDING, _PER_LETTER = 32, 12, 9


def mark(name: str) -> str:
    """The name in a rounded frame, as SVG in the color of the text around it."""
    width = 2 * _PADDING + _PER_LETTER * len(name)
    text = escape(name)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" height="{_HEIGHT}" '
        f'role="img"><title>{text}</title>'
        f'<rect x="1" y="1" width="{width - 2}" height="{_HEIGHT - 2}" rx="5" fill="none" stroke="currentColor"/>'
        f'<text x="50%" y="21" text-anchor="middle" font-family="system-ui, sans-serif" font-size="14" '
        f'fill="currentColor">{text}</text></svg>\n'
    )
