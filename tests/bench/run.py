#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the agent beside its alternatives and prints one row per promise.

Every figure is a ratio of medians taken in turns in one run, so that a slow or busy machine moves
both sides. A missed target is a word in the table, never a failure; the exit code is 1 only when
something is broken. SoftHSM is the token; the module in process (direct), `p11-kit server` and
OpenSSL with a PEM key are the peers.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", default=os.environ.get("MTLS_BUILD_ROOT", "build"),
                        help="build directory (default: $MTLS_BUILD_ROOT, else build)")
    parser.add_argument("--rows", default="", help="names of rows, with commas; default: all")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn (default 1)")
    parser.add_argument("--signatures", type=int, default=1000000, help="for the row `growth`")
    parser.add_argument("--quick", action="store_true",
                        help="one short round of everything: shows only that it works")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument("--markdown", metavar="FILE",
                        help="also write the table of docs/performance.md there")
    return parser.parse_args()


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else \
        f"{value:.0f}"


def print_result(result):
    for claim in result.claims:
        sign, word = (">=" if claim.at_least else "<="), ("met" if claim.is_met else "MISSED")
        unit = f" {claim.unit}" if claim.unit else ""
        print(f"{result.name:42} {claim.text:18} {number(claim.median):>8}{unit}"
              f"  {sign} {number(claim.limit)}{unit}  {word}")
    figures = ", ".join(f"{name} {number(value)} {unit}"
                        for name, (value, unit) in result.absolute.items())
    print(f"    {figures}" + (f"  ({result.note})" if result.note else ""), flush=True)


def as_markdown(results):
    lines = ["| what | ratio | measured | target | |", "|---|---|---|---|---|"]
    for result in results:
        for claim in result.claims:
            sign, word = (">=" if claim.at_least else "<="), ("met" if claim.is_met else "**missed**")
            unit = f" {claim.unit}" if claim.unit else ""
            lines.append(f"| {result.name} | {claim.text} | {number(claim.median)}{unit} "
                         f"| {sign} {number(claim.limit)}{unit} | {word} |")
    lines.append("")
    for result in results:
        figures = ", ".join(f"{name} {number(value)} {unit}"
                            for name, (value, unit) in result.absolute.items())
        lines.append(f"* {result.name}: {figures}")
    return "\n".join(lines) + "\n"


def as_json(result):
    return {"name": result.name, "note": result.note,
            "claims": [{"what": claim.text, "value": claim.median, "limit": claim.limit,
                        "at_least": claim.at_least, "unit": claim.unit, "met": claim.is_met,
                        "rounds": claim.values} for claim in result.claims],
            "figures": {name: {"value": value, "unit": unit}
                        for name, (value, unit) in result.absolute.items()}}


def main():
    args = parse_args()
    os.environ["MTLS_BUILD_ROOT"] = str(Path(args.build).resolve())
    sys.path.insert(0, str(HERE))
    import peers  # after the build directory is known
    import rows

    names = args.rows.split(",") if args.rows else list(rows.ROWS)
    if args.list:
        print("\n".join(rows.ROWS))
        return 0
    unknown = [name for name in names if name not in rows.ROWS]
    if unknown:
        sys.exit(f"no such row: {', '.join(unknown)}")
    options = rows.Options(rounds=args.rounds, seconds=args.seconds, signatures=args.signatures)
    if args.quick:
        options = rows.Options(rounds=1, seconds=0.1, starts=4, many_starts=16, signatures=1000,
                               certificates=20)

    results, broken = [], []
    bench = peers.Bench()
    try:
        for name in names:
            try:
                results.append(rows.ROWS[name](bench, options))
                print_result(results[-1])
            except rows.Broken as error:
                broken.append(name)
                print(f"{name}: BROKEN: {error}", flush=True)
    finally:
        bench.end()
    claims = [claim for result in results for claim in result.claims]
    met = sum(claim.is_met for claim in claims)
    print(f"{met} of {len(claims)} targets met, {len(broken)} rows broken")
    if args.json:
        machine = {"cpus": os.cpu_count(), "kernel": platform.release()}
        Path(args.json).write_text(json.dumps(
            {"machine": machine, "rounds": options.rounds, "seconds": options.seconds,
             "rows": [as_json(result) for result in results], "broken": broken}, indent=1))
    if args.markdown:
        Path(args.markdown).write_text(as_markdown(results))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
