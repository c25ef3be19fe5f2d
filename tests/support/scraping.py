"""Reading /metrics as Prometheus does."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.support.house import House

METRICS_TOKEN = "a-token-of-prometheus-and-nobody-else"


@dataclass(frozen=True)
class Scrape:
    """The samples of one answer."""

    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def of(self, name: str, **labels: str) -> float:
        """A sample's value; 0 of a series that nobody has begun."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples of that name by one label."""
        return {dict(labels)[label]: value for (known, labels), value in self.values.items() if known == name}


def read(text: str) -> Scrape:
    return Scrape(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    )


async def scrape(house: House) -> Scrape:
    answer = await house.http.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 200, answer.text
    return read(answer.text)
