/**
 * What root's Podman does by default: a veth into a bridge, and NAT. Not rootless, so no choice for those who use sockswitch;
 * a reference for what a network namespace of its own costs without a user-mode stack.
 *
 * netavark's rules would stay, and with them the kernel's connection tracking for everything that the host sends: they are
 * removed after each trial.
 */
import type { Place } from '../places/place.js';
import { CommandError } from '../runner/execute.js';
import type { Driver, Prepared } from './driver.js';

const FORWARD = 'net.ipv4.ip_forward';

export const rootfulBridge: Driver = {
  name: 'rootful-bridge',
  title: "root's Podman, veth bridge",
  // Not every machine passes the controller for a limit of processes down to the lab.
  podmanArgs: ['--network=bridge', '--pids-limit=0'],
  ownNetwork: true,
  switches: false,
  needsRoot: 'podman',
  prepare,
};

async function prepare(place: Place): Promise<Prepared> {
  if (place.asRoot === undefined) throw new CommandError("root's Podman needs root");
  const before = (await place.run(['sysctl', '-n', FORWARD])).trim();
  return {
    note: 'netavark: masquerading with nftables and connection tracking',
    undo: async () => {
      // Podman removes the bridge with the last container, not the rules.
      const script = `nft delete table inet netavark 2>/dev/null; sysctl -q -w ${FORWARD}="$1"`;
      await place.run(['sh', '-c', script, 'sh', before], { always: true });
    },
  };
}
