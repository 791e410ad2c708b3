# shellcheck shell=bash
# shellcheck disable=SC2034  # used by the files that are sourced later
# common.sh: names, paths, messages and the lab's lock. Sourced first by every run of `lab`, so it must stay cheap.
#
# State of a lab, all under RUN_DIR (removed by `down`):
#   suite, size, source, cache-key   what the lab was made from
#   applications               the directory of the application layer; empty without one
#   HOST/init                  "PID START": the host's init as seen from outside, and its start time, so that a
#                              recycled PID is never taken for it
#   HOST/start.log             what bringing the host up printed
#   up                         exists once everything runs
# DISK_DIR holds the hosts' homes. They need a real file system: rootless Podman's overlay driver cannot put its
# writable layers on another overlay.

: "${LAB_NAME:=sockswitch}"
: "${LAB_SUITE:=trixie}"
: "${LAB_SIZE:=full}"
: "${LAB_APPLICATIONS:=}"
: "${SOCKSWITCH_LAB_CACHE:=/var/cache/sockswitch-lab}"

readonly LAB_HOSTS=(host1 host2 remote)
readonly LAB_UID=1000
readonly LAB_RUN_ROOT=/run/sockswitch-lab
readonly RUN_DIR=$LAB_RUN_ROOT/$LAB_NAME
readonly DISK_DIR=$SOCKSWITCH_LAB_CACHE/labs/$LAB_NAME
readonly LAB_CGROUP=sockswitch-lab-$LAB_NAME

log() {
  printf 'lab: %s\n' "$*" >&2
}

die() {
  log "$*"
  exit 1
}

die_usage() {
  log "$*"
  log "'lab help' lists the verbs"
  exit 2
}

[[ $LAB_NAME =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] ||
  die "LAB_NAME must be lower-case letters, digits and '-', at most 31 characters: '$LAB_NAME'"
case $LAB_SUITE in
  trixie | bookworm) ;;
  *) die "LAB_SUITE must be trixie or bookworm: '$LAB_SUITE'" ;;
esac
case $LAB_APPLICATIONS in
  '' | 1) ;;
  *) die "LAB_APPLICATIONS must be 1 or not set: '$LAB_APPLICATIONS'" ;;
esac
case $LAB_SIZE in
  full) ;;
  small) [[ -z $LAB_APPLICATIONS ]] || die "LAB_APPLICATIONS=1 needs LAB_SIZE=full" ;;
  *) die "LAB_SIZE must be full or small: '$LAB_SIZE'" ;;
esac
[[ $SOCKSWITCH_LAB_CACHE == /* ]] || die "SOCKSWITCH_LAB_CACHE must be an absolute path: '$SOCKSWITCH_LAB_CACHE'"

need_root() {
  [[ $EUID -eq 0 ]] || die "must run as root (namespaces, mounts and cgroups are made); try sudo"
}

# need_host NAME: the name is known and the lab is up (or on its way: `up` itself runs things on hosts).
need_host() {
  local name
  for name in "${LAB_HOSTS[@]}"; do
    if [[ $name == "$1" ]]; then
      [[ -e $RUN_DIR/up ]] || die "lab '$LAB_NAME' is not up; run: lab up"
      host_alive "$1" || die "$1 of lab '$LAB_NAME' has died; run: lab down, then lab up"
      return
    fi
  done
  die "unknown host '$1'; known: ${LAB_HOSTS[*]}"
}

# proc_start_time PID: field 22 of /proc/PID/stat, counted after the command name, which may hold anything.
proc_start_time() {
  local stat fields
  { read -r stat </proc/"$1"/stat; } 2>/dev/null || return 1
  read -ra fields <<<"${stat##*) }"
  printf '%s' "${fields[19]}"
}

# host_pid HOST: sets HOST_PID to the init of a host; fails when it is not running.
host_pid() {
  local pid start
  [[ -r $RUN_DIR/$1/init ]] || return 1
  read -r pid start <"$RUN_DIR/$1/init" || return 1
  [[ $(proc_start_time "$pid") == "$start" ]] || return 1
  HOST_PID=$pid
}

host_alive() {
  local HOST_PID
  host_pid "$1"
}

lab_is_up() {
  local host
  [[ -e $RUN_DIR/up ]] || return 1
  for host in "${LAB_HOSTS[@]}"; do
    host_alive "$host" || return 1
  done
}

# lab_source: the tree to mount at /opt/sockswitch.
lab_source() {
  local tree
  tree=$(readlink -e "${LAB_SOURCE:-$LAB_DIR/../..}") || die "LAB_SOURCE does not exist: '$LAB_SOURCE'"
  [[ -d $tree ]] || die "LAB_SOURCE is no directory: '$LAB_SOURCE'"
  printf '%s' "$tree"
}

# A lab that is up is not remade behind the back of whoever uses it.
lab_check_same() {
  local suite size source
  suite=$(<"$RUN_DIR/suite")
  size=$(<"$RUN_DIR/size")
  source=$(<"$RUN_DIR/source")
  [[ $suite == "$LAB_SUITE" ]] ||
    die "lab '$LAB_NAME' is up with suite $suite, not $LAB_SUITE; run lab down first, or choose another LAB_NAME"
  [[ $size == full || $size == "$LAB_SIZE" ]] ||
    die "lab '$LAB_NAME' is up with size $size, not $LAB_SIZE; run lab down first, or choose another LAB_NAME"
  [[ -z $LAB_APPLICATIONS || -n $(<"$RUN_DIR/applications") ]] ||
    die "lab '$LAB_NAME' is up without the applications; run lab down first, or choose another LAB_NAME"
  [[ $source == "$(lab_source)" ]] ||
    die "lab '$LAB_NAME' is up with $source mounted; run lab down first, or choose another LAB_NAME"
}

# One `up` or `down` at a time per lab. The lock file goes away with the lab, hence the second look after locking.
lab_lock() {
  local file=$LAB_RUN_ROOT/.$LAB_NAME.lock
  mkdir -p "$LAB_RUN_ROOT"
  while :; do
    exec {LAB_LOCK_FD}>"$file"
    if ! flock --nonblock "$LAB_LOCK_FD"; then
      log "waiting for another 'lab up' or 'lab down' of '$LAB_NAME'"
      flock "$LAB_LOCK_FD"
    fi
    [[ $file -ef /proc/self/fd/$LAB_LOCK_FD ]] && return
    exec {LAB_LOCK_FD}>&-
  done
}

lab_unlock() {
  rm -f "$LAB_RUN_ROOT/.$LAB_NAME.lock"
  exec {LAB_LOCK_FD}>&-
  rmdir --ignore-fail-on-non-empty "$LAB_RUN_ROOT"
}
