"""What somebody who reads `/metrics` gets to know."""

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[str, list[tuple[dict[str, str], float]]]
"""Labels and value of each sample, by the sample's name."""

DATABASE_GAUGES = {
    "storecredit_billing_problems",
    "storecredit_webhook_endpoints",
    "storecredit_stores_at_zero",
    "storecredit_verify_timestamp_seconds",
    "storecredit_verify_discrepancies",
    "storecredit_checkpoint_timestamp_seconds",
}
"""What the database is asked for at a scrape."""


def samples_in(text: str) -> Samples:
    """Every sample of Prometheus' text format."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels; 0 where there is none."""
    found = samples.get(f"storecredit_{name}", [])
    return sum(value for known, value in found if labels.items() <= known.items())
