"""Uses everything that a program finds in its sandbox. The first attempt gives
up half-way and leaves a checkpoint; the second goes on from there."""

import json
import os
import subprocess
import sys

import symbi

names = symbi.params()["names"]
text = symbi.input_path("text").read_text(encoding="utf-8")

kept = symbi.checkpoint()
done = json.loads(kept) if kept else []
print(f"attempt {symbi.attempt()} of task {symbi.task()['task']}, {len(done)} of {len(names)} done before")

for i, name in enumerate(names[len(done):], start=len(done)):
    done.append({"name": name, "times": text.count(name)})
    symbi.progress(100 * (i + 1) / len(names), f"looked for {name}")
    symbi.save_checkpoint(json.dumps(done).encode())
    if symbi.attempt() == 1 and i == 0:
        print("giving up, to show what the next attempt has", file=sys.stderr)
        sys.exit(1)

symbi.output_path("counts/counts.json").write_text(json.dumps(done, indent=2) + "\n")
# The same by the command line, as a shell script would.
told = json.loads(subprocess.run(["symbi-agent", "task"], check=True, capture_output=True).stdout)
assert told == symbi.task(), told
assert subprocess.run(["symbi-agent", "input", "text"], check=True, capture_output=True).stdout == symbi.input_bytes("text")
assert os.environ["SYMBI_AGENT"] == told["agent"]
symbi.result({"counted": {d["name"]: d["times"] for d in done}, "attempts": symbi.attempt()})
