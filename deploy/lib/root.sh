# shellcheck shell=bash
# Root's rights, and what setup remembers between runs so that --remove undoes
# what setup did and nothing else.

state=/var/lib/symbi/setup-state

# have_root is true as root, or where sudo works without asking, or can ask.
have_root() {
	((EUID == 0)) && return
	command -v sudo >/dev/null || return
	sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }
}

as_root() {
	if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# signal NAME PID: kill is the shell's own; a fresh machine has no other.
signal() { as_root sh -c 'kill -s "$1" "$2"' sh "$1" "$2"; }

# one_at_a_time makes a second setup wait for the first. The lock ends with
# this process; what it leaves running must close descriptor 9.
one_at_a_time() {
	exec 9<"$here/setup.sh"
	flock 9
}

# remember KEY VALUE notes what was done, once.
remember() {
	as_root mkdir -p "$(dirname "$state")"
	recall "$1" | grep -qxF -- "$2" || echo "$1=$2" | as_root tee -a "$state" >/dev/null
}

# recall KEY prints every value noted under it.
recall() { sed -n "s/^$1=//p" "$state" 2>/dev/null || true; }

state_remove() {
	as_root rm -f "$state"
	as_root rmdir --ignore-fail-on-non-empty "$(dirname "$state")" 2>/dev/null || true
}
