#!/usr/bin/env bash
# Prepares a Debian machine for Symbi: the packages it needs, gVisor, a
# container engine that knows gVisor, and the images that programs run in.
# Run it as often as you like: it installs only what is missing. It reaches
# Debian's mirror (the one apt is configured with) and the Go module proxy,
# no image registry.
#
# Every thing it looks after is a component, one file in lib/: NAME_title says
# what it is, NAME_present whether it is there, NAME_mend prints the command
# that would mend it by hand, NAME_install mends it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin

usage() {
	cat <<-'END'
		usage: deploy/setup.sh [--with test] [--with browser] [--check | --remove]

		Prepares this machine for Symbi: Debian packages, gVisor, a container engine
		with the runtime symbi-runsc, and the images symbi/base:1 and symbi/python:1.

		  --with test     also what the tests need: gcc for the race detector, PostgreSQL
		  --with browser  also what the browser tests need: Chromium
		  --check         change nothing; list what is present and what is missing, with
		                  the command that mends it; exit 0 only if nothing is missing
		  --remove        undo it all but the Debian packages; says how to remove those
		  --help          this text

		Exit codes: 0 done, 1 a step failed or (--check) something is missing,
		2 wrong usage, 3 a person must do something first (what, it prints).
	END
}

with_test=false with_browser=false action=install
while (($#)); do
	case $1 in
	--with)
		IFS=, read -ra groups <<<"${2:-}"
		((${#groups[@]})) || { usage >&2; exit 2; }
		for group in "${groups[@]}"; do
			case $group in
			test) with_test=true ;;
			browser) with_browser=true ;;
			*) echo "setup: --with knows test and browser, not '$group'" >&2; exit 2 ;;
			esac
		done
		shift
		;;
	--check) action=check ;;
	--remove) action=remove ;;
	-h | --help) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done

# shellcheck source-path=SCRIPTDIR
for part in report root packages runsc engine images sandbox; do
	# shellcheck disable=SC1090
	. "$here/lib/$part.sh"
done

components=(go packages runsc engine runtime base_image python_image sandbox)

# missing_components prints the names of those that are not there.
missing_components() {
	local component
	for component in "${components[@]}"; do
		"${component}_present" || echo "$component"
	done
}

check() {
	local component missing=0
	for component in "${components[@]}"; do
		if "${component}_present"; then
			report present "$("${component}_title")"
		else
			report missing "$("${component}_title")"
			"${component}_mend" | sed 's/^/               /'
			missing=$((missing + 1))
		fi
	done
	((missing == 0))
}

install_all() {
	if ! have_root && [[ -n $(missing_components) ]]; then
		echo "setup: this needs root, and there is no sudo to get it with. Run it as root, or type:" >&2
		check >&2 || true
		exit 3
	fi
	local component
	for component in "${components[@]}"; do
		if "${component}_present"; then
			report present "$("${component}_title")"
		else
			"${component}_install"
		fi
	done
	[[ -w $socket ]] || report note "$(id -un) may not use the engine; to allow it (as good as root): usermod -aG docker $(id -un)"
}

# What uses a thing goes before the thing.
remove_all() {
	have_root || needs_person "removing needs root" "su -c 'deploy/setup.sh --remove'"
	containers_remove
	images_remove
	runtime_remove
	runsc_remove
	packages_farewell
	engine_remove
}

case $action in
check) check ;;
install) one_at_a_time && install_all ;;
remove) one_at_a_time && remove_all ;;
esac
