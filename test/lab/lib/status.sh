# shellcheck shell=bash
# status.sh: what is running, for people and for programs.

# shellcheck source=enter.sh
source "$LAB_DIR/lib/enter.sh"

declare -gA LAB_ADDRESSES=(
  [host1]='10.77.0.11 fd77::11'
  [host2]='10.77.0.12 fd77::12'
  [remote]='10.77.0.100 fd77::100 10.99.0.1 fd99::1'
)

status_podman() {
  [[ $1 != remote ]] || return 0
  host_run "$1" lab podman --version 2>/dev/null | awk '{print $3}' || true
}

status_daemon() {
  [[ $1 != remote ]] || return 0
  if host_run "$1" lab sockswitch status >/dev/null 2>&1; then echo running; else echo 'not running'; fi
}

lab_status() {
  local json=$1 host HOST_PID up=false state suite='' source='' separator='' daemon address list
  lab_is_up && up=true
  [[ -r $RUN_DIR/suite ]] && suite=$(<"$RUN_DIR/suite")
  [[ -r $RUN_DIR/source ]] && source=$(<"$RUN_DIR/source")
  if [[ -n $json ]]; then
    printf '{"name":"%s","up":%s,"suite":"%s","source":"%s","hosts":[' "$LAB_NAME" "$up" "$suite" "$source"
  else
    printf 'lab %s: %s\n' "$LAB_NAME" "$([[ $up == true ]] && echo "up, $suite, source $source" || echo 'not up (run: lab up)')"
  fi
  for host in "${LAB_HOSTS[@]}"; do
    state=down HOST_PID=0 daemon=''
    if host_pid "$host"; then
      state=up
      daemon=$(status_daemon "$host")
    fi
    if [[ -n $json ]]; then
      list=''
      for address in ${LAB_ADDRESSES[$host]}; do list+="${list:+,}\"$address\""; done
      printf '%s{"name":"%s","up":%s,"pid":%d,"addresses":[%s],"podman":"%s","daemon":%s}' "$separator" "$host" \
        "$([[ $state == up ]] && echo true || echo false)" "$HOST_PID" "$list" \
        "$([[ $state == up ]] && status_podman "$host")" "$([[ $daemon == running ]] && echo true || echo false)"
      separator=,
    elif [[ $state == up ]]; then
      printf '  %-7s up    init %-8s %s%s\n' "$host" "$HOST_PID" "${LAB_ADDRESSES[$host]}" \
        "$([[ $host == remote ]] || printf '  podman %s, daemon %s' "$(status_podman "$host")" "$daemon")"
    else
      printf '  %-7s down\n' "$host"
    fi
  done
  if [[ -n $json ]]; then
    printf ']}\n'
  fi
  [[ $up == true ]]
}

lab_logs() {
  local host=$1
  tail -v -n +1 "$RUN_DIR/$host"/*.log
  # shellcheck disable=SC2016  # expanded on the host
  host_run "$host" root bash -c 'shopt -s nullglob; files=(/var/log/lab/*.log /home/lab/*.log)
    [[ ${#files[@]} -eq 0 ]] || tail -v -n +1 "${files[@]}"'
}
