"""What is committed works on any machine and gives nothing of this one away."""

import re

import pytest

from tests.architecture.repository import ROOT, committed, text_of

# The patterns are written so that they do not match themselves.
FOREIGN = {
    "a package registry's host": re.compile(
        r"\b(?:pypi|pythonhosted|npmjs|yarnpkg|artifactory|jfrog)[.](?:org|com|io|net)\b|/(?:api/pypi|simple)/[a-z]",
        re.IGNORECASE,
    ),
    "the reference folder": re.compile(
        r"\.\./share[d]\b|\bschema-targe[t]\b|\bsource-inventor[y]\b"
        r"|\b(?:design|rules|graphql|promises|FACTS)[.]md\b"
    ),
    "a home folder": re.compile(r"(?<![\w.-])/(?:home|Users|root)/\w"),
    "a folder of the machine it was written on": re.compile(r"(?<![\w.-])/(?:wor[k])/(?:main|shared)\b|/tm[p]/w/"),
}
if len(ROOT.parts) > 2:  # in a folder such as /src the name alone would meet innocent paths
    FOREIGN["this checkout's own path"] = re.compile(rf"(?<![\w.-]){re.escape(str(ROOT))}(?![\w-])")

REQUIREMENTS = ("requirements.txt", "requirements-pdf.txt", "requirements-otel.txt", "requirements-dev.txt")
PINNED = re.compile(
    r"[a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,_-]+\])?==[\w.!+]+(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+"
)


def committed_texts() -> dict[str, str]:
    """What every committed file says, pictures and the like left out."""
    texts: dict[str, str] = {}
    for name in committed():
        try:
            texts[name] = text_of(name)
        except UnicodeDecodeError:
            continue
    return texts


def logical_lines(text: str) -> list[str]:
    """Lines joined at their backslashes, comments and blank ones left out, runs of space made one."""
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(kept).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines() if line.strip()]


@pytest.mark.parametrize("what", FOREIGN)
def test_no_committed_file_names(what: str) -> None:
    texts = committed_texts()
    assert "billing/money.py" in texts
    found = [
        f"{name}:{number}: {line.strip()[:160]}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if FOREIGN[what].search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a package registry's host", "resolved: https://registry.{}/react".format("npmjs" + ".org")),
        ("a package registry's host", "--index-url https://mirror.example/{}/pip".format("simple")),
        ("the reference folder", "see ..{}design".format("/shared/")),
        ("the reference folder", "see {}.md".format("rules")),
        ("a home folder", "open({}/me/x)".format("/home")),
        ("a folder of the machine it was written on", "cd {}/main".format("/work")),
    ],
)
def test_the_patterns_would_find_what_they_look_for(what: str, line: str) -> None:
    assert FOREIGN[what].search(line)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_each_requirement_is_pinned_and_hashed_and_has_no_address(name: str) -> None:
    text = text_of(name)
    lines = logical_lines(text)
    assert len(lines) >= 5
    assert [line for line in lines if not PINNED.fullmatch(line)] == []
    assert [line for line in text.splitlines() if "://" in line] == []


@pytest.mark.parametrize(
    "line",
    [
        "stripe==16.1.0",
        "stripe --hash=sha256:" + "0" * 64,
        "-i mirror",
        "stripe @ file:x",
        "stripe>=16 --hash=sha256:ab",
    ],
)
def test_a_loose_requirement_would_be_found(line: str) -> None:
    assert not PINNED.fullmatch(line)
