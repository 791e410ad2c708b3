/**
 * A real systemd user instance on host2. The lab's hosts boot without systemd: it is started by hand, and only wants to see
 * the directory that tells a systemd machine.
 */
import { host2 } from './lab.js';

const BOOTED = '/run/systemd/system';
const RUNS = 'systemctl --user is-system-running | grep -qE "running|degraded"';

export async function startSystemd(): Promise<void> {
  await host2.output(['mkdir', '-p', BOOTED], { root: true });
  await host2.serve(['/usr/lib/systemd/systemd', '--user'], RUNS);
}

/** Also ends what else `host2.serve` has started. */
export async function stopSystemd(): Promise<void> {
  await host2.stopServers();
  await host2.run(['rmdir', BOOTED], { root: true });
  await host2.sh('chmod -R u+rwx "$XDG_RUNTIME_DIR/systemd"; rm -rf "$XDG_RUNTIME_DIR/systemd"');
}

/** Units of the user, by file name: Quadlet's, and systemd's own. Returns what removes them. */
export async function writeUnits(
  units: Readonly<Record<string, string>>,
): Promise<() => Promise<void>> {
  const write = 'mkdir -p "$(dirname "$1")" && cat >"$1"';
  const paths: string[] = [];
  for (const [name, text] of Object.entries(units)) {
    const directory = name.endsWith('.container') ? 'containers/systemd' : 'systemd/user';
    const path = `.config/${directory}/${name}`;
    await host2.sh(write, [path], { stdin: text });
    paths.push(path);
  }
  await host2.output(['systemctl', '--user', 'daemon-reload']);
  return async () => {
    await host2.output(['rm', ...paths]);
    await host2.output(['systemctl', '--user', 'daemon-reload']);
  };
}
