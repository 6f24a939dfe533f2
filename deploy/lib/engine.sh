# shellcheck shell=bash
# The Docker engine, and the runtime symbi-runsc in its configuration. An
# engine that runs is told to read its configuration again, never restarted.

socket=/var/run/docker.sock
engine_config=/etc/docker/daemon.json
engine_log=/var/log/symbi-dockerd.log
runtime=symbi-runsc

# --host-uds=open: programs reach the gateway's Unix socket.
# --network=none: only loopback, even if a container is given a network by mistake.
# --platform=systrap: needs no virtualisation; named so that no default moves it.
# The rest are defaults that others measured no better than :
# bind mounts are shared, so the host sees what a program writes as it writes it.
runtime_args=(--host-uds=open --network=none --platform=systrap)

# engine speaks to the local engine, whatever the user's context points at.
engine() {
	if [[ -w $socket ]]; then
		docker -H "unix://$socket" "$@"
	else
		((EUID != 0)) && sudo -n docker -H "unix://$socket" "$@"
	fi
}

engine_title() { echo "container engine on $socket"; }

engine_present() { engine version --format '{{.Server.Version}}' >/dev/null 2>&1; }

engine_mend() {
	if [[ -d /run/systemd/system ]]; then
		echo "systemctl enable --now docker"
	else
		echo "setsid dockerd >>$engine_log 2>&1 </dev/null &"
	fi
}

engine_install() {
	if [[ -d /run/systemd/system ]]; then
		doing "starting the container engine" as_root systemctl enable --now docker
		until_true 60 engine_present || fail "dockerd does not answer; see: journalctl -u docker"
		remember engine systemd
		return
	fi
	doing "starting the container engine, log in $engine_log" start_dockerd
	remember engine "$(</var/run/docker.pid)"
}

# The configuration is written before the engine reads it.
start_dockerd() {
	configure
	as_root sh -c 'setsid nohup dockerd >>"$1" 2>&1 </dev/null 9<&- &' sh "$engine_log"
	until_true 60 engine_present || { as_root tail -n 20 "$engine_log"; return 1; }
}

runtime_title() { echo "runtime $runtime known to the engine"; }

runtime_present() {
	local known
	known=$(engine info --format "{{with index .Runtimes \"$runtime\"}}{{.Path}} {{join .Args \" \"}}{{end}}" 2>/dev/null) &&
		[[ $known == "$runsc ${runtime_args[*]}" ]]
}

runtime_entry() {
	local args
	printf -v args '"%s",' "${runtime_args[@]}"
	printf '{"path":"%s","runtimeArgs":[%s]}' "$runsc" "${args%,}"
}

runtime_mend() {
	echo "add \"$runtime\": $(runtime_entry)"
	echo "to \"runtimes\" in $engine_config, then: kill -HUP \$(cat /var/run/docker.pid)"
}

runtime_install() {
	[[ -e /var/run/docker.pid ]] ||
		needs_person "the engine behind $socket runs elsewhere; its host must know $runtime" "deploy/setup.sh   # there"
	doing "adding the runtime $runtime to the engine" add_runtime
}

add_runtime() {
	configure
	reload_engine
	until_true 10 runtime_present
}

# engineconf edits the engine's configuration from standard input to output.
engineconf() (
	cd "$here/.."
	GOFLAGS='' GOTOOLCHAIN=auto go run ./deploy/lib/engineconf "$@"
)

# configure keeps sandboxes alive while the engine is restarted (live-restore),
# unless the operator chose otherwise or a swarm forbids it.
configure() {
	local current='' changed default=()
	[[ ! -e $engine_config ]] || current=$(as_root cat "$engine_config")
	if [[ $current != *'"live-restore"'* && $(engine info --format '{{.Swarm.LocalNodeState}}' 2>/dev/null) != active ]]; then
		default=(-default live-restore=true)
	fi
	changed=$(engineconf "${default[@]}" add "$runtime" "$(runtime_entry)" <<<"$current")
	write_config "$changed" # a command of its own: had engineconf failed, we would not be here
	((${#default[@]} == 0)) || remember config_key live-restore
	[[ -n $current ]] || remember config created
}

# write_config replaces the file whole: the engine may read it at any time.
write_config() {
	as_root mkdir -p "$(dirname "$engine_config")"
	echo "$1" | as_root tee "$engine_config.symbi" >/dev/null
	[[ ! -e $engine_config ]] || as_root chmod --reference="$engine_config" "$engine_config.symbi"
	as_root mv "$engine_config.symbi" "$engine_config"
}

reload_engine() { signal HUP "$(</var/run/docker.pid)"; }

# A reload forgets a runtime only if the file still speaks of runtimes, so the
# key goes in a second step.
runtime_remove() {
	local keys changed
	as_root grep -qsF "\"$runtime\"" "$engine_config" || return 0
	go_present || go_install
	changed=$(as_root cat "$engine_config" | engineconf -default 'runtimes={}' drop "$runtime")
	write_config "$changed"
	if engine_present && [[ -e /var/run/docker.pid ]]; then
		reload_engine
		until_true 10 runtime_unknown || report note "the engine will forget the runtime $runtime when it is next restarted"
	fi
	readarray -t keys < <(recall config_key)
	changed=$(as_root cat "$engine_config" | engineconf drop "$runtime" "${keys[@]}")
	if [[ $changed == '{}' && -n $(recall config) ]]; then
		as_root rm "$engine_config"
	else
		write_config "$changed"
	fi
	report removed "runtime $runtime from $engine_config"
}

runtime_unknown() { ! engine info --format '{{range $name, $_ := .Runtimes}}{{$name}} {{end}}' | grep -qwF -- "$runtime"; }

# engine_remove stops the engine if setup started it and nobody else uses it.
engine_remove() {
	local started
	started=$(recall engine | tail -n 1)
	state_remove
	if [[ -z $started ]] || ! engine_present; then return 0; fi
	if [[ -n $(engine ps -q) ]]; then
		report kept "the container engine: other containers run on it"
		remember engine "$started"
	elif [[ $started == systemd ]]; then
		doing "stopping the container engine" as_root systemctl disable --now docker.service docker.socket
	elif [[ $started == "$(</var/run/docker.pid)" ]]; then
		doing "stopping the container engine" stop_dockerd "$started"
		as_root rm -f "$engine_log"
	fi
}

stop_dockerd() {
	signal TERM "$1"
	until_true 30 process_gone "$1"
}

process_gone() { [[ ! -d /proc/$1 ]]; }
