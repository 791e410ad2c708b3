# shellcheck shell=bash
# enter.sh: running a command on a host. Tests do this hundreds of times, so it is nsenter, setpriv and env, and nothing
# else; no login, no PAM, no shell of the host.
#
# The process first joins the cgroup of the host's user (or of its init, for root), then the namespaces. Joining a PID
# namespace needs a fork: nsenter stays outside, waits, and passes the exit status on. When nsenter is killed (a test's
# time-out), the command gets SIGTERM through its parent-death signal, so it does not linger.

readonly HOST_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# host_exec HOST USER CMD...: replaces this process.
host_exec() {
  local host=$1 user=$2 HOST_PID group home
  local -a identity environment
  shift 2
  host_pid "$host" || die "$host of lab '$LAB_NAME' is not running"
  if [[ $user == root ]]; then
    home=/root group=init
    identity=()
    environment=(HOME=/root USER=root LOGNAME=root)
  else
    home=/home/lab group=user/session
    identity=(--reuid="$LAB_UID" --regid="$LAB_UID" --init-groups)
    environment=(HOME="$home" USER=lab LOGNAME=lab XDG_RUNTIME_DIR="/run/user/$LAB_UID")
  fi
  cgroup_path=$(<"$RUN_DIR/cgroup")
  echo "$BASHPID" >"$cgroup_path/$host/$group/cgroup.procs"
  umask 022
  exec nsenter --target "$HOST_PID" --mount --uts --ipc --net --pid --cgroup \
    /usr/bin/setpriv "${identity[@]}" --pdeathsig TERM \
    /usr/bin/env -i -C "$home" PATH="$HOST_PATH" SHELL=/bin/bash LANG=C.UTF-8 TERM="${TERM:-dumb}" "${environment[@]}" \
    "$@"
}

# host_run HOST USER CMD...: the same in a child, for the lab's own use. The lab's lock stays out: servers and daemons
# started this way would hold it for as long as they live.
host_run() {
  (
    [[ -z ${LAB_LOCK_FD-} ]] || exec {LAB_LOCK_FD}>&-
    host_exec "$@"
  )
}
