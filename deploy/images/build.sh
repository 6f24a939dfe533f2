#!/usr/bin/env bash
# Builds the images that programs run in, from Debian's packages: see README.md.
# Needs root (mmdebstrap and the engine do) and the mirror that apt uses.
#
#   build.sh NAME...          builds symbi/NAME:1, replacing what is there
#   build.sh --recipe NAME    prints the recipe's hash, which labels the image
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck source=/dev/null
vendor=$(. /etc/os-release && echo "$ID")

# lines FILE prints it without comments and empty lines.
lines() { sed -e 's/[[:space:]]*#.*//' -e '/^$/d' "$1"; }

# recipe NAME hashes all that decides what the image holds, but for the
# versions that the mirror has today.
recipe() {
	{
		echo "$release $(dpkg --print-architecture)"
		cat "$here/build.sh" "$here/trim" "$here/$1/packages" "$here/$1/config"
	} | sha256sum | cut -c1-16
}

# sources prints apt's own sources for this release, security updates
# included, and leaves other vendors' out.
sources() {
	apt-get indextargets \
		--format '$(ORIGIN)|$(CODENAME)|$(COMPONENT)|deb $(REPO_URI) $(CODENAME) $(COMPONENT)' \
		'Created-By: Packages' |
		awk -F'|' -v origin="${vendor^}" -v release="$release" \
			'$1 == origin && index($2, release) == 1 && $3 == "main" {print $4}'
}

# root_file_system NAME writes a tar archive of it. Sources and proxies are for
# building only: a sandbox has no network, and a mirror is nobody's business.
root_file_system() {
	local options=() pattern
	{
		echo 'Acquire::Languages "none";'
		apt-config dump Acquire::http
		apt-config dump Acquire::https
	} >"$scratch/apt.conf"
	while read -r pattern; do options+=("--dpkgopt=$pattern"); done < <(lines "$here/trim")
	sources | mmdebstrap --quiet --mode=root --variant=essential --format=tar \
		--hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
		--dpkgopt=force-unsafe-io "${options[@]}" \
		--keyring=/etc/apt/trusted.gpg.d --keyring="/usr/share/keyrings/$vendor-archive-keyring.gpg" \
		--aptopt="$scratch/apt.conf" \
		--include="$(lines "$here/$1/packages" | paste -sd,)" \
		--skip=cleanup/apt,cleanup/mmdebstrap \
		--customize-hook='rm -rf "$1"/etc/apt "$1"/etc/dpkg/dpkg.cfg.d "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/cache/* "$1"/var/lib/apt "$1"/var/log/*' \
		"$release" - -
}

build() {
	local changes=(--change "LABEL dev.symbi.recipe=$(recipe "$1")") line old archive=$scratch/$1.tar
	while read -r line; do changes+=(--change "$line"); done < <(lines "$here/$1/config")
	[[ -n $(sources) ]] || apt-get -q update
	old=$(docker image inspect --format '{{.Id}}' "symbi/$1:1" 2>/dev/null || true)
	root_file_system "$1" >"$archive" # whole before it is an image
	docker import "${changes[@]}" "$archive" "symbi/$1:1"
	rm "$archive"
	[[ -z $old ]] || docker rmi "$old" >/dev/null 2>&1 || true # kept while a container uses it
}

export DOCKER_HOST=unix:///var/run/docker.sock
unset DOCKER_CONTEXT
if [[ ${1:-} == --recipe && $# == 2 ]]; then
	recipe "$2"
elif (($#)); then
	scratch=$(mktemp -d)
	trap 'rm -rf "$scratch"' EXIT
	for name in "$@"; do build "$name"; done
else
	sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
fi
