# shellcheck shell=bash
# The Go toolchain, which setup only looks for, and Debian packages.

go_title() { echo "Go 1.21 or later"; }

# A toolchain that knows GOTOOLCHAIN (1.21) fetches the one that go.mod names.
go_present() { [[ -n $(go env GOTOOLCHAIN 2>/dev/null) ]]; }

go_mend() { echo "install Go 1.21 or later from https://go.dev/dl/ and put it on PATH"; }

go_install() { needs_person "Go 1.21 or later is missing; Debian 12's is older" "$(go_mend)"; }

# missing_packages prints the Debian packages for whatever is not on the
# machine, wherever it might have come from.
missing_packages() {
	local tool package
	while read -r tool package; do
		command -v "$tool" >/dev/null || echo "$package"
	done <<-'END'
		dockerd    docker.io
		iptables   iptables
		mkfs.ext4  e2fsprogs
		losetup    mount
		mmdebstrap mmdebstrap
	END
	[[ -e /etc/ssl/certs/ca-certificates.crt ]] || echo ca-certificates
	if grep -qs Y /sys/module/apparmor/parameters/enabled; then
		# dockerd cannot load its profile without it.
		command -v apparmor_parser >/dev/null || echo apparmor
	fi
	if $with_test; then
		command -v gcc >/dev/null || echo gcc
		[[ -e /usr/include/features.h ]] || echo libc6-dev
		compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || echo postgresql
	fi
	if $with_browser; then
		command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo chromium
	fi
}

packages_title() {
	local missing
	missing=$(missing_packages | xargs)
	echo "Debian packages${missing:+: $missing}"
}

packages_present() { [[ -z $(missing_packages) ]]; }

packages_mend() {
	echo "apt-get update && apt-get install --no-install-recommends $(missing_packages | xargs)"
}

packages_install() {
	local missing package
	readarray -t missing < <(missing_packages)
	# A third party's broken source must not stop us: what we need is Debian's.
	doing "reading Debian's package lists" apt_update
	keep_postgres_quiet "${missing[@]}"
	doing "installing Debian packages: ${missing[*]}" apt_install "${missing[@]}"
	as_root rm -f "$no_cluster"
	for package in "${missing[@]}"; do remember package "$package"; done
	packages_present || fail "still missing after the installation: $(missing_packages | xargs)"
}

apt_update() { as_root apt-get -q -o DPkg::Lock::Timeout=300 update || true; }

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}

no_cluster=/etc/postgresql-common/createcluster.d/symbi-setup.conf

# The tests start servers of their own; Debian's package would leave one
# running for good.
keep_postgres_quiet() {
	[[ " $* " == *" postgresql "* ]] || return 0
	as_root mkdir -p "$(dirname "$no_cluster")"
	echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
}

packages_farewell() {
	local installed
	installed=$(recall package | xargs)
	[[ -z $installed ]] || report kept "Debian packages; to remove them: apt-get purge --autoremove $installed"
}
