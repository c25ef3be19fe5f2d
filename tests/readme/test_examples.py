"""The examples as somebody runs them: against a server of their own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from clocks import SystemClock
from resolvers.identity import Role, issue_development_token
from settings import load_settings
from tests.readme.snippets import ROOT
from tests.support.processes import environment, perennial

PLAN = """mutation { createPlan(input: {productCode: "acme-music", code: "exporter", name: "Exporter",
  interval: MONTH, prices: [{currencyCode: "USD", amount: "0.00", isDefault: true}],
  entitlements: [{featureCode: "export"}]}) { userErrors { code message } } }"""
SUBSCRIBE = """mutation { subscribe(input: {planCode: "exporter"}) {
  subscription { customer { entitlements { token } } } userErrors { code message } } }"""


def _asked(address: str, query: str, user: str, role: Role = Role.CUSTOMER) -> Any:
    """The data of one operation over HTTP."""
    now = SystemClock().now()
    token = issue_development_token(load_settings(_env_file=None), user_id=user, role=role, now=now)
    headers = {"Authorization": f"Bearer {token}"}
    body = httpx.post(f"{address}/graphql", json={"query": query}, headers=headers, timeout=60).json()
    assert "errors" not in body, body
    return body["data"]


def _run(example: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / example), *arguments]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100, check=False)


def test_a_merchant_checks_a_token_without_asking(tmp_path: Path) -> None:
    with perennial(tmp_path) as address:
        assert _asked(address, PLAN, "demo-admin", Role.ADMIN) == {"createPlan": {"userErrors": []}}
        bought = _asked(address, SUBSCRIBE, "demo-card")["subscribe"]
        assert bought["userErrors"] == []
        token = bought["subscription"]["customer"]["entitlements"]["token"]
        for feature, said in (("export", "allowed"), ("import", "not allowed")):
            ran = _run("check_entitlement.py", address, token, feature)
            assert (ran.stdout, ran.stderr, ran.returncode) == (f"demo-card: {feature} is {said}\n", "", 0)
        header, claims, signature = token.split(".")
        altered = f"{header}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
        refused = _run("check_entitlement.py", address, altered, "export")
        assert (refused.stdout, refused.returncode) == ("", 1)
        assert "InvalidSignatureError" in refused.stderr
