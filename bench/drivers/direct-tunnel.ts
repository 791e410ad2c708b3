/**
 * The kernel's tunnel without a user-mode stack: its devices are in the network namespaces of the two hosts, which a cable joins. Not
 * rootless, and no container's network at all; the most that a tunnel of containers could give.
 *
 * What the workload makes there is removed after each trial.
 */
import type { Place } from '../places/place.js';
import { CommandError } from '../runner/execute.js';
import { DEVICES } from '../workloads/vxlan.js';
import type { Driver, Prepared } from './driver.js';

const FORWARD = 'net.ipv4.ip_forward';

export const directTunnel: Driver = {
  name: 'direct-tunnel',
  title: 'tunnel from host to host, as root',
  podmanArgs: ['--network=host', '--pids-limit=0'],
  ownNetwork: false,
  switches: false,
  needsRoot: 'podman',
  reference: true,
  prepare,
};

async function prepare(place: Place): Promise<Prepared> {
  if (place.asRoot === undefined) throw new CommandError("root's Podman needs root");
  const before = (await place.run(['sysctl', '-n', FORWARD])).trim();
  return {
    note: 'the tunnel is in the network namespaces of the hosts',
    undo: async () => {
      const script = `sysctl -q -w ${FORWARD}="$1"; shift; for device; do ip link del "$device"; done; true`;
      await place.run(['sh', '-c', script, 'sh', before, ...DEVICES], { always: true });
    },
  };
}
