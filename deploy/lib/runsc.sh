# shellcheck shell=bash
# gVisor's runsc, built from source at one pinned version: Debian's is too old
# to give a sandbox host sockets.

runsc_version=v0.0.0-20260905035102-160fafc42237
runsc=/usr/local/lib/symbi/runsc

runsc_title() { echo "gVisor $runsc_version in $runsc"; }

# Go records the module's version in the binary, so nothing need be run.
runsc_present() { go version -m "$runsc" 2>/dev/null | grep -qwF "$runsc_version"; }

runsc_mend() {
	echo "CGO_ENABLED=0 GOBIN=$(dirname "$runsc") go install gvisor.dev/gvisor/runsc@$runsc_version"
}

runsc_install() {
	local out
	out=$(mktemp -d)
	doing "building gVisor $runsc_version (about a minute)" runsc_build "$out"
	as_root install -D -m 0755 "$out/runsc" "$runsc"
	rm -rf "$out"
	remember runsc "$runsc"
}

# Run outside the module, so that its go.mod and the user's flags do not matter.
runsc_build() (
	cd "$1"
	env CGO_ENABLED=0 GOTOOLCHAIN=auto GOFLAGS='' GOWORK=off GOBIN="$1" \
		go install -trimpath \
		-ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$runsc_version" \
		"gvisor.dev/gvisor/runsc@$runsc_version"
)

runsc_remove() {
	[[ -e $runsc ]] || return 0
	as_root rm -f "$runsc"
	as_root rmdir --ignore-fail-on-non-empty "$(dirname "$runsc")"
	report removed "$runsc"
}
