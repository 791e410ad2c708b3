/**
 * The same attacks under bypass4netns 0.4, as its README says to run it: a process that serves a listener socket, and a
 * seccomp profile that reports to it. Its ignore list is the README's, but for 10.0.0.0/8, which here holds the whole lab:
 * slirp4netns's own 10.0.2.0/24 stands for it. With runc, because with crun it ends itself at the first `podman exec`.
 */
import { seccompProfile } from '../../../bench/drivers/bypass4netns.js';
import { host1, type Result } from '../../integration/support/lab.js';
import type { Attack } from '../catalogue.js';
import { afterNetworkIsUp, attackCommand, PATIENCE_MS, VOLUME } from './stage.js';

/** It is slow, and needs no more. */
const TRIES = 10_000;
const IGNORE = '127.0.0.0/8,10.0.2.0/24,auto';
const profile = JSON.stringify(seccompProfile('LISTENER'));

const SCRIPT = `
socket=$(mktemp -u "$XDG_RUNTIME_DIR/b4n-XXXXXX")
name=$(basename "$socket")
printf '%s' "$1" | sed "s#LISTENER#$socket#" > "$socket.json"
shift
bypass4netns --socket="$socket" --com-socket="$socket-com" --ignore=${IGNORE} >"$socket.log" 2>&1 &
bypass=$!
for try in $(seq 100); do [ -S "$socket" ] && break; sleep 0.1; done
timeout -k 5 130 podman --runtime runc run --rm --name "$name" --network slirp4netns --security-opt seccomp="$socket.json" "$@"
status=$?
kill "$bypass" 2>/dev/null
timeout -k 5 20 podman rm --force --ignore --time 0 "$name" >/dev/null 2>&1
rm -f "$socket" "$socket".* "$socket-com"
exit $status
`;

export async function bypass4netnsVersion(): Promise<string | undefined> {
  const result = await host1.run(['sh', '-c', 'bypass4netns --version 2>/dev/null']);
  return result.status === 0
    ? (/version[: ]+(\S+)/i.exec(result.stdout)?.[1] ?? 'unknown')
    : undefined;
}

/** One container and one bypass4netns for each attack, because either may not survive it. */
export function attackUnderBypass4netns(attack: Attack): Promise<Result> {
  const command = afterNetworkIsUp(attackCommand(attack, TRIES));
  return host1.sh(SCRIPT, [profile, ...VOLUME, 'localhost/lab', ...command], {
    timeout: PATIENCE_MS,
  });
}
