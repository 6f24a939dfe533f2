# shellcheck shell=bash
# What setup says while it works: one line a step, with the seconds that it
# took if it took more than one. A step's own output is shown only if it fails.

report() { printf '%-10s %s\n' "$1" "$2"; }

fail() {
	printf 'setup: %s\n' "$1" >&2
	exit 1
}

# needs_person WHY COMMAND... ends setup with the commands that someone with
# the means must type.
needs_person() {
	printf 'setup: %s. Please run:\n' "$1" >&2
	shift
	printf '    %s\n' "$@" >&2
	exit 3
}

# doing WHAT COMMAND... runs a step, which ends at its first command that
# fails. (Called as a condition it would not: bash suspends -e there.)
doing() {
	local what=$1 log took=$SECONDS status
	shift
	log=$(mktemp)
	printf '%-10s %s' doing "$what"
	set +e
	(set -e && "$@") >"$log" 2>&1
	status=$?
	set -e
	if ((status)); then
		printf ' ... failed\n'
		tail -n 20 "$log" | sed 's/^/    /' >&2
		rm -f "$log"
		fail "failed: $what"
	fi
	rm -f "$log"
	took=$((SECONDS - took))
	if ((took > 1)); then printf ' ... %d s\n' "$took"; else printf ' ... done\n'; fi
}

# until_true SECONDS COMMAND... waits for something that another process does.
until_true() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.1
	done
}
