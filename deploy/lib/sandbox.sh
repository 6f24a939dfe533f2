# shellcheck shell=bash
# Whether all of it works together, and what sandboxes left behind.

sandbox_title() { echo "a program runs in gVisor"; }

sandbox_present() { try_sandbox >/dev/null 2>&1; }

# gVisor's kernel log names it: a runtime that is really runc is found out.
try_sandbox() {
	engine run --rm --runtime "$runtime" --network none --read-only --user 65534:65534 symbi/base:1 \
		sh -c 'dmesg | grep gVisor'
}

sandbox_mend() {
	echo "see what is wrong: docker run --rm --runtime $runtime --network none symbi/base:1 dmesg"
}

sandbox_install() { doing "running a program in gVisor" try_sandbox; }

# containers_remove ends every sandbox of every installation. One that is
# frozen is thawed first: killing it frozen takes gVisor ten seconds.
containers_remove() {
	local ids
	engine_present || return 0
	readarray -t ids < <(engine ps -aq --filter label=dev.symbi.installation --filter status=paused)
	((${#ids[@]} == 0)) || engine unpause "${ids[@]}" >/dev/null
	readarray -t ids < <(engine ps -aq --filter label=dev.symbi.installation)
	((${#ids[@]})) || return 0
	engine rm -f "${ids[@]}" >/dev/null
	report removed "containers: ${#ids[@]}"
}
