#!/usr/bin/env python3
"""Asks a Prometheus every query of a dashboard, with its variables filled in as Grafana does.
usage: ask.py PROMETHEUS_URL DASHBOARD.json      exit code 1 if a query fails or has no number"""
import json
import math
import sys
import urllib.parse
import urllib.request

base, path = sys.argv[1:]


def get(what, **parameters):
    url = f"{base}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{url}: {error.read().decode()}")


board = json.load(open(path))
models = get("label/model_name/values", **{"match[]": "tare_client_requests_total"})
print("models that the variable lists:", ", ".join(models) or "none")
lacking = 0 if models else 1
# As with one model chosen, and as with all.
for chosen in [*models, ".*"]:
    for panel in board["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$model", chosen)
            query = query.replace("$__rate_interval", "20s").replace("$__range", "1m")
            if "$" in query:
                raise SystemExit(f"a variable that nobody fills in: {query}")
            found = get("query", query=query)["result"]
            values = [float(series["value"][1]) for series in found]
            # Asked where the first says nothing: of models with one name on both sides that is right.
            spare = " unless on () (" in query
            bad = (not values and not spare) or not all(math.isfinite(value) for value in values)
            lacking += bad
            if bad or chosen == ".*":
                shown = ", ".join(f"{value:.6g}" for value in values) or "no data"
                print(f"{'LACKING ' if bad else ''}{panel['title']} | {target['legendFormat']}: {shown}")
print("every query has data" if not lacking else f"{lacking} queries have none")
sys.exit(1 if lacking else 0)
