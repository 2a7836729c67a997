import re
from pathlib import Path

from access.metrics import Metrics
from access.metrics.families import FAMILIES
from access.metrics.series import MOST
from access.metrics.snapshot import HUNG
from clawdbot_site import settings

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")


def sample_name(family):
    return family.name + ("_total" if family.kind == "counter" else "")


def test_it_lists_every_metric_with_its_type_and_labels_and_no_other():
    rows = re.findall(r"^\| `(\w+)(?:\{([^}]*)\})?` \| (\w+) \| (\S.*) \|$", PAGE, re.MULTILINE)
    told = {name: (kind, tuple(labels.split(", ")) if labels else ()) for name, labels, kind, _ in rows}
    assert len(rows) == len(told)
    assert told == {sample_name(family): (family.kind, family.labels) for family in FAMILIES.values()}


def test_every_metric_is_on_the_page_of_a_process_that_has_counted_nothing():
    page = Metrics().text().decode()
    for family in FAMILIES.values():
        assert f"# HELP {sample_name(family)} {family.about}\n# TYPE {sample_name(family)} {family.kind}\n" in page


def test_it_says_the_bounds_as_they_are():
    assert f"`METRICS_TENANTS` tenants ({settings.METRICS_TENANTS})" in PAGE
    assert f"`METRICS_NAMES` ({settings.METRICS_NAMES})" in PAGE
    assert f"at most {MOST:,} are" in PAGE and HUNG == 10 and "nothing for ten seconds" in PAGE


def test_no_label_is_told_twice_or_is_prometheus_own():
    for family in FAMILIES.values():
        assert len(set(family.labels)) == len(family.labels)
        assert not {"job", "le", "quantile"} & set(family.labels)
