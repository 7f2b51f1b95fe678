#!/usr/bin/env python3
"""What a run pays for being watched: `tare calibrate` with nobody looking, beside the same with the live view drawn on a
terminal, with the page of metrics scraped every second, with client spans written to a file. All of them in turn, in an order
that is drawn anew each round, and compared round by round, so that a machine whose speed drifts takes nothing from it.
Needs util-linux' `script`.
usage: cost.py TARE [--rounds 8] [--streams 500,2000] [--seconds 10] [--port 23040] [--seed 1]"""
import argparse
import json
import math
import random
import statistics
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

# As the ladder of `tare calibrate`: every stream gets 20 tokens/s, however many there are.
ENGINE = """
name: watched
embedded: {max_num_seqs: 1000000, max_num_batched_tokens: 1000000, max_model_len: 131072, prefill_us_per_token: 0,
  decode_base_ms: 50, decode_per_seq_ms: 0, jitter: 0, frontend_ms: 0, frontend_us_per_token: 0, api_server_count: 2,
  enable_log_requests: false, spans: false}
workload: {dataset: random, random_input_len: 32, random_output_len: 100, ignore_eos: true}
"""
# What is compared: of which quantity by which stamp, or of the cost.
ERRORS = [("itl", "kernel"), ("ttft_started", "kernel"), ("event", "user")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tare", type=Path)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--streams", default="500,2000")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--port", type=int, default=23040)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def scrape(port, over, seen):
    while not over.wait(1):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
                seen.append(len(page.read()))
        except OSError:
            pass  # Not yet, or no more.


def level(args, folder, streams, how):
    """One level of so many streams, watched in this way: its figures."""
    found = folder / "found.json"
    words = [str(args.tare.resolve())] + ([] if how == "live view" else ["-q"])
    words += ["calibrate", str(folder / "config.yaml"), "--streams", "own", "--users", str(streams)]
    words += ["--ramp-s", "1", "--level-duration", str(args.seconds), "--json", str(found)]
    over, seen = threading.Event(), []
    scraper = threading.Thread(target=scrape, args=(args.port, over, seen))
    if how == "metrics scraped":
        words += ["--listen-metrics", str(args.port)]
        scraper.start()
    if how == "spans to a file":
        words += ["--export-spans", str(folder / "spans.jsonl")]
    if how == "live view":
        # A terminal of 120 columns, whose other end reads all that is drawn.
        words = ["script", "-qefc", "stty cols 120 rows 40; " + " ".join(words), "/dev/null"]
    done = subprocess.run(words, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    over.set()
    if scraper.is_alive():
        scraper.join()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout.decode()[-800:]}{done.stderr.decode()[-800:]}")
    # It is drawn anew twice a second.
    if how == "live view" and done.stdout.count(b"so far TTFT") < args.seconds:
        raise SystemExit("the live view was not drawn")
    if how == "metrics scraped" and len(seen) < args.seconds / 2:
        raise SystemExit(f"only {len(seen)} scrapes")
    if how == "spans to a file":
        lines = (folder / "spans.jsonl").read_text().count("\n")
        if lines == 0:
            raise SystemExit("no spans were written")
        (folder / "spans.jsonl").unlink()
    one = json.loads(found.read_text())["levels"][0]
    rows = {(row["quantity"], row["stamp"]): row for row in one["errors"]}
    figures = {"events": one["events"]["compared"]}
    for quantity, stamp in ERRORS:
        for point in ("p50_s", "p99_s"):
            figures[f"{quantity} {stamp} {point[:3]} ms"] = rows[(quantity, stamp)][point] * 1e3
    figures["load CPU s"] = one["cost"]["load_cpu_s"]
    figures["client CPU s"] = one["cost"]["client_cpu_s"]
    return figures


def interval(values):
    """Of the median, by order statistics: at least 95 % if there are six or more."""
    ordered, n = sorted(values), len(values)
    for rank in range(n // 2, 0, -1):
        outside = 2 * sum(math.comb(n, k) for k in range(rank)) / 2**n
        if outside <= 0.05:
            return ordered[rank - 1], ordered[n - rank]
    return ordered[0], ordered[-1]


def main():
    args = arguments()
    draw = random.Random(args.seed)
    hows = ["nobody", "live view", "metrics scraped", "spans to a file"]
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(ENGINE)
        for n in range(args.rounds):
            for streams in map(int, args.streams.split(",")):
                for how in draw.sample(hows, len(hows)):
                    found.setdefault((streams, how), []).append(level(args, folder, streams, how))
            tell(args, hows, found, n + 1)


def tell(args, hows, found, rounds):
    print(f"\nafter {rounds} rounds; median, then of the differences to `nobody` the median [95 %]", flush=True)
    for streams in map(int, args.streams.split(",")):
        base = found[(streams, hows[0])]
        events = statistics.median(figures["events"] for figures in base)
        print(f"{streams} streams, {args.seconds:g} s, {events:,.0f} events a level")
        for figure in [key for key in base[0] if key != "events"]:
            print(f"  {figure:28} {statistics.median(f[figure] for f in base):10.4f}", end="")
            for how in hows[1:]:
                differences = [a[figure] - b[figure] for a, b in zip(found[(streams, how)], base)]
                lo, hi = interval(differences)
                print(f"   {how}: {statistics.median(differences):+.4f} [{lo:+.4f}, {hi:+.4f}]", end="")
            print(flush=True)


main()
