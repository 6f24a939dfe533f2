#!/usr/bin/env bash
# The demo: starts `symbi dev`, runs the strike-report agent, suspends it in the
# middle, shows that it truly stands still, resumes it, and shows the result.
#
#   examples/strike-report/demo.sh [--data DIR] [--listen ADDRESS] [--output DIR] [--keep]
#
# --keep leaves `symbi dev` running at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."

data=tmp/demo/data output=tmp/demo/output listen=127.0.0.1:8080 keep=
while [ $# -gt 0 ]; do
  case $1 in
    --data) data=$2; shift 2 ;;
    --output) output=$2; shift 2 ;;
    --listen) listen=$2; shift 2 ;;
    --keep) keep=yes; shift ;;
    *) echo "demo.sh: unknown argument $1" >&2; exit 2 ;;
  esac
done
symbi=bin/symbi
[ -x $symbi ] || { echo "demo.sh: $symbi is not built; run \`make build\`" >&2; exit 1; }
mkdir -p "$output" "$(dirname "$data")"
export SYMBI_SERVER=http://$listen SYMBI_TOKEN_FILE=$data/admin.token

say() { printf '\n== %s\n' "$*"; }
field() { sed -n "s/^$1: *\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" | head -n 1; }
task_field() { $symbi task get "$task" -o yaml | field "$1"; }

say "symbi dev"
$symbi dev --data "$data" --listen "$listen" > "$output/dev.log" 2>&1 &
dev=$!
stop() {
  if [ -n "$keep" ] && [ "${1:-0}" = 0 ]; then
    echo "symbi dev goes on as process $dev; stop it with: kill $dev"
  else
    kill -INT "$dev" 2>/dev/null || true
    wait "$dev" 2>/dev/null || true
  fi
}
trap 'status=$?; stop $status; exit $status' EXIT
until $symbi status >/dev/null 2>&1; do
  kill -0 "$dev" 2>/dev/null || { cat "$output/dev.log" >&2; echo "symbi dev ended" >&2; exit 1; }
  read -rt 0.1 <> <(:) || true
done
grep -E '^(API|Token|Log in)' "$output/dev.log" || true

say "the agent, and a task for it"
task=$($symbi agent run -f examples/strike-report/agent.yaml \
  --input reports=examples/strike-report/birdstrikes.csv --detach -o yaml | field id)
echo "task $task"

say "its log, live"
$symbi task logs -f "$task" > "$output/log.txt" 2>/dev/null &
follower=$!
lines() { grep -c 'resamples done' "$output/log.txt" || true; }
until [ "$(lines)" -ge 6 ]; do
  case $(task_field state) in Failed|Cancelled|Succeeded) break ;; esac
  read -rt 0.2 <> <(:) || true
done
head -n 6 "$output/log.txt"

say "suspended: it stands still"
$symbi agent suspend strike-report --reason "to look at it" --wait
container=$(docker ps -q --no-trunc --filter "label=dev.symbi.task=default/$task" | head -n 1)
cpu() {
  for f in "/sys/fs/cgroup/cpuacct/docker/$container/cpuacct.usage" \
           "/sys/fs/cgroup/system.slice/docker-$container.scope/cpu.stat" \
           "/sys/fs/cgroup/docker/$container/cpu.stat"; do
    [ -r "$f" ] || continue
    case $f in
      *cpuacct.usage) echo $(( $(cat "$f") / 1000000 )) ;;
      *) awk '/^usage_usec/{printf "%d\n", $2/1000}' "$f" ;;
    esac
    return
  done
  echo "the sandbox's accounts are not readable here" >&2; return 1
}
read -rt 0.3 <> <(:) || true # the kernel books the last slice of CPU time late
before=$(cpu) logged=$(wc -l < "$output/log.txt")
read -rt 2 <> <(:) || true
after=$(cpu)
echo "CPU time of the sandbox: $before ms, and 2 s later $after ms"
echo "log lines: $logged, and 2 s later $(wc -l < "$output/log.txt")"
[ "$before" = "$after" ] || { echo "it did not stand still" >&2; exit 1; }

say "resumed, to its end"
$symbi agent resume strike-report
$symbi task get "$task" --wait >/dev/null
wait "$follower" 2>/dev/null || true
tail -n 2 "$output/log.txt"

say "what it found"
$symbi task get "$task" -o yaml > "$output/task.yaml"
awk '/^  findings:/ {on = 1; next} on && /^ *- / {sub(/^ *- */, "- "); print; next} on {exit}' "$output/task.yaml"
$symbi task get "$task" | grep -E '^(state|tier|used|node|limits) ' || true
$symbi task artifacts "$task" --output "$output"
[ "$(task_field state)" = Succeeded ]

say "where to look"
echo "the report:            $output/report.html"
echo "its life:              bin/symbi agent history strike-report"
echo "the Temporal Web UI:   $(grep -o 'http[^ ]*/login[^ ]*' "$output/dev.log" | head -n 1)"
$symbi agent history strike-report
