# shellcheck shell=bash
# host.sh: starting hosts. A host is one init process (PID 1 of its PID namespace) that holds all of the host's namespaces;
# when it ends, everything on the host ends and every namespace and mount goes with it.
#
# host_start leaves RUN_DIR/HOST/init behind (written by inside.sh, first thing) and returns once the init has replaced the
# script that made the file system. What goes wrong on the way is in RUN_DIR/HOST/start.log.

# shellcheck source=enter.sh
source "$LAB_DIR/lib/enter.sh"

# host_node: the real node binary, behind whatever version manager the caller uses.
host_node() {
  command -v node >/dev/null || return 0
  node --print process.execPath
}

# hosts_start SOURCE APPLICATIONS
hosts_start() {
  local source=$1 applications=$2 path host node
  node=$(host_node)
  [[ -n $node ]] || log "no node in PATH: the hosts have none, and sockswitch cannot run there"
  path=$(cgroup_make_lab "$LAB_CGROUP")
  printf '%s\n' "$path" >"$RUN_DIR/cgroup"
  for host in "${LAB_HOSTS[@]}"; do
    host_start "$host" "$path/$host" "$source" "$applications" "$node"
  done
  for host in "${LAB_HOSTS[@]}"; do
    host_wait "$host" "$path/$host"
    [[ $host == remote ]] || host_syslog "$host"
  done
}

# host_syslog HOST: something that reads /dev/log, as every real machine has; netavark on bookworm complains without it.
host_syslog() {
  host_run "$1" root sh -c '
    setsid socat -u UNIX-RECV:/dev/log,mode=666 OPEN:/var/log/lab/syslog.log,creat,append </dev/null >/dev/null 2>&1 &'
}

host_start() {
  local host=$1 cgroup=$2 source=$3 applications=$4 node=$5 state=$RUN_DIR/$1 home=$DISK_DIR/$1/home
  local -a settings=(INSIDE_HOST="$host" INSIDE_HOME="$home" INSIDE_WORK="$state/work" INSIDE_CGROUP="$cgroup"
    INSIDE_ETC="$LAB_DIR/etc/containers" INSIDE_PID_FILE="$state/init")
  if [[ $host == remote ]]; then
    settings+=(INSIDE_ROOT="${applications:+$applications:}$CACHE_DIR/tree" INSIDE_REMOTE="$LAB_DIR/remote")
  else
    settings+=(INSIDE_ROOT="$CACHE_DIR/host" INSIDE_IMAGES="$CACHE_DIR/images" INSIDE_IMAGES_MODE=ro
      INSIDE_SOURCE="$source" INSIDE_NODE="$node" INSIDE_APPLICATIONS="$applications")
  fi
  mkdir -p "$state/work"
  install -d -o "$LAB_UID" -g "$LAB_UID" -m 0755 "$home"
  cp -a "$CACHE_DIR/host/etc/skel/." "$home/"
  if [[ $host != remote ]]; then
    install -D -m 0644 "$LAB_DIR/etc/user/storage.conf" "$home/.config/containers/storage.conf"
  fi
  chown -R "$LAB_UID:$LAB_UID" "$home"
  cgroup_make_host "$cgroup"
  # The lock must not live on in the init.
  (
    exec {LAB_LOCK_FD}>&-
    echo "$BASHPID" >"$cgroup/init/cgroup.procs"
    exec setsid --fork env -i PATH="$PATH" "${settings[@]}" \
      unshare --mount --uts --ipc --net --pid --fork -- bash "$LAB_DIR/lib/inside.sh" \
      </dev/null >"$state/start.log" 2>&1
  )
}

# host_suspend HOST: as a machine that sleeps is seen by its processes and by others. They stand still, and its cable is
# dead: only the kernel, which the hosts share, goes on. `lab exec` on it waits until it is resumed.
host_suspend() {
  cgroup_freeze "$(<"$RUN_DIR/cgroup")/$1" 1
  network_cable "$1" down
}

host_resume() {
  network_cable "$1" up
  cgroup_freeze "$(<"$RUN_DIR/cgroup")/$1" 0
}

# host_wait HOST CGROUP: until the init runs in its own root.
host_wait() {
  local host=$1 cgroup=$2 tries HOST_PID
  for ((tries = 0; tries < 200; tries++)); do
    if host_pid "$host" && [[ $(readlink "/proc/$HOST_PID/exe") == */catatonit ]]; then
      cgroup_delegate "$cgroup"
      return
    fi
    sleep 0.05
  done
  cat "$RUN_DIR/$host/start.log" >&2
  die "$host did not start"
}
