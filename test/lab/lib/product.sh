# shellcheck shell=bash
# product.sh: sockswitch on host1 and host2, installed and run by their user, as a person would.
#
# The daemon's output goes to ~/sockswitch-daemon.log of the host. Its PID (inside the host) stands in
# $XDG_RUNTIME_DIR/lab-daemon.pid. Only the daemon is the lab's to start and stop; what else the product keeps running is its own
# affair.

read -ra DAEMON_ENVIRONMENT <<<"${LAB_DAEMON_ENVIRONMENT-}"
readonly DAEMON_ENVIRONMENT

# product_up: installs and starts where it does not run yet.
product_up() {
  local host
  if ! host_run host1 lab test -e /opt/sockswitch/dist/cli.js -a -e /opt/sockswitch/build/Release/sockswitch-start; then
    log "no dist/cli.js or build/Release/sockswitch-start in the mounted tree: sockswitch is not installed and no daemon runs"
    return
  fi
  host_run host1 lab test -x /usr/local/bin/node || return 0
  for host in host1 host2; do
    [[ -z $(product_pid "$host") ]] || continue
    log "sockswitch install and daemon on $host"
    if ! host_run "$host" lab env "${DAEMON_ENVIRONMENT[@]}" sockswitch install >"$RUN_DIR/$host/install.log" 2>&1; then
      cat "$RUN_DIR/$host/install.log" >&2
      die "sockswitch install failed on $host; the lab itself is up"
    fi
    product_accept_no_guard "$host"
    product_start "$host"
  done
}

# Where sockswitch-guard could not be given its capability (inside.sh), as where files have none: nobody's containers but our
# own run here.
product_accept_no_guard() {
  # shellcheck disable=SC2016  # expanded on the host
  host_run "$1" lab sh -c '
    [ -z "$(/usr/sbin/getcap /usr/local/lib/sockswitch-guard)" ] || exit 0
    mkdir -p .config/sockswitch
    [ -e .config/sockswitch/config.toml ] || echo "require_guard = false" >.config/sockswitch/config.toml'
}

# Prints the daemon's PID as the host sees it; nothing if it does not run.
product_pid() {
  # shellcheck disable=SC2016  # expanded on the host
  host_run "$1" lab sh -c '
    exec 2>/dev/null
    read -r pid <"$XDG_RUNTIME_DIR/lab-daemon.pid" || exit 0
    tr "\0" " " <"/proc/$pid/cmdline" | grep -q "sockswitch/dist/cli.js daemon" && echo "$pid"
    exit 0'
}

product_start() {
  local host=$1
  if [[ -n $(product_pid "$host") ]]; then
    log "the daemon of $host runs already"
    return
  fi
  # shellcheck disable=SC2016  # expanded on the host
  host_run "$host" lab sh -c '
    setsid env "$@" sockswitch daemon >>"$HOME/sockswitch-daemon.log" 2>&1 </dev/null &
    echo $! >"$XDG_RUNTIME_DIR/lab-daemon.pid"
    deadline=$(($(date +%s) + 60)) # its first start reads everything from the disk
    until sockswitch status >/dev/null 2>&1; do
      kill -0 $! 2>/dev/null && [ "$(date +%s)" -lt "$deadline" ] || exit 1
      sleep 0.1
    done' sh "${DAEMON_ENVIRONMENT[@]}" || {
    log "the daemon of $host did not get ready; its log:"
    host_run "$host" lab tail -n 40 sockswitch-daemon.log >&2
    die "sockswitch daemon failed on $host; the lab itself is up"
  }
}

product_stop() {
  local host=$1 pid
  pid=$(product_pid "$host")
  [[ -n $pid ]] || return 0
  # shellcheck disable=SC2016  # expanded on the host
  host_run "$host" lab sh -c '
    kill -TERM "$1"
    for try in $(seq 100); do
      kill -0 "$1" 2>/dev/null || exit 0
      sleep 0.05
    done
    echo "lab: the daemon ignored SIGTERM for 5 s; killing it" >&2
    kill -KILL "$1"' sh "$pid"
}
