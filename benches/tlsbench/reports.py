#!/usr/bin/env python3
"""Time and memory of `tlsbench report` over many records.

    benches/tlsbench/reports.py target/release/tlsbench [RECORDS]

Each record is of a placement of four hops and its twin, eight hops together, over eight rounds. They are
made from the record that the tests read. Printed for each form: seconds, and the most memory that was
resident. Wanted: 1,000 records under 2 s and 200 MB.
"""

import copy
import json
import os
import pathlib
import sys
import tempfile
import time

FIXTURE = pathlib.Path(__file__).parent / "../../tests/fixtures/report/placements.json"
ROUNDS = 8
FORMS = ["html", "md", "json", "csv", "prom"]


def record():
    """A placement and its twin with four hops each."""
    made = json.loads(FIXTURE.read_text())
    names = ["ingress-terminate", "plaintext-l4"]
    made["lab"].update(workloads=["full"], rounds=ROUNDS, latency=None)
    made["lab"]["placements"] = [p for p in made["lab"]["placements"] if p["name"] in names]
    for placement in made["lab"]["placements"]:
        sidecar = {**placement["hops"][-2], "role": "sidecar", "listen": "plain", "dial": "plain"}
        placement["hops"].insert(-1, sidecar)
    wanted = [
        t
        for t in made["trials"]
        if t["placement"] in names and (t["workload"], t["pass"]) == ("full", "cpu")
    ]
    for trial in wanted:
        trial["hops"].insert(-1, {**copy.deepcopy(trial["hops"][-2]), "role": "sidecar"})
        for of in [trial["client"], *trial["hops"]]:
            rounds = [of["rounds"][n % len(of["rounds"])] for n in range(ROUNDS)]
            of["rounds"] = [{**one, "round": n} for n, one in enumerate(rounds)]
    made["trials"] = wanted
    assert sum(len(trial["hops"]) for trial in wanted) == 8
    return json.dumps(made, indent=2)


def measure(program, records, form, out):
    """Wall-clock seconds and peak resident bytes of one report."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        os.execv(program, [program, "report", *records, "--format", form, "--out", out])
    _, status, usage = os.wait4(child, 0)
    took = time.monotonic() - began
    assert status == 0, status
    return took, usage.ru_maxrss * 1024


def main():
    program = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        text = record()
        records = [f"{n:04}.json" for n in range(count)]
        for name in records:
            pathlib.Path(name).write_text(text)
        print(f"{count} records of {len(text):,} bytes")
        for form in FORMS:
            took, peak = measure(program, records, form, "report")
            size = os.path.getsize("report")
            print(f"{form:5} {took:7.2f} s {peak / 1e6:7.1f} MB, {size / 1e6:.1f} MB written")


main()
