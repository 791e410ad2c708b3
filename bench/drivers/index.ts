/** All drivers, in the order in which tables show them. */
import { bypass4netns } from './bypass4netns.js';
import { directTunnel } from './direct-tunnel.js';
import type { Driver } from './driver.js';
import { floor } from './floor.js';
import { namesHost } from './names-host.js';
import { pastaTuned } from './pasta-tuned.js';
import { rootfulBridge } from './rootful-bridge.js';

const ENABLE = ['--annotation', 'sockswitch/enable=true'];

function publishArgs(ports: readonly number[]): readonly string[] {
  if (ports.length === 0) return [];
  return ['--annotation', `sockswitch/publish=${ports.map((port) => `${port}:${port}`).join(' ')}`];
}

export const HOST: Driver = {
  name: 'host',
  title: '--network=host (no isolation)',
  podmanArgs: ['--network=host'],
  ownNetwork: false,
  switches: false,
  publishArgs: () => [],
};

const SOCKSWITCH_PASTA: Driver = {
  name: 'sockswitch-pasta',
  title: 'sockswitch over pasta',
  podmanArgs: ['--network=pasta', ...ENABLE],
  ownNetwork: true,
  unaccelerated: 'pasta',
  switches: true,
  publishArgs,
  program: 'pasta',
};

export const DRIVERS: readonly Driver[] = [
  HOST,
  SOCKSWITCH_PASTA,
  {
    name: 'sockswitch-slirp4netns',
    title: 'sockswitch over slirp4netns',
    podmanArgs: ['--network=slirp4netns', ...ENABLE],
    ownNetwork: true,
    unaccelerated: 'slirp4netns',
    switches: true,
    publishArgs,
    program: 'slirp4netns',
  },
  bypass4netns,
  {
    name: 'pasta',
    title: 'pasta',
    podmanArgs: ['--network=pasta'],
    ownNetwork: true,
    switches: false,
    program: 'pasta',
  },
  pastaTuned,
  {
    name: 'slirp4netns',
    title: 'slirp4netns',
    podmanArgs: ['--network=slirp4netns'],
    ownNetwork: true,
    switches: false,
    program: 'slirp4netns',
  },
  rootfulBridge,
  directTunnel,
  namesHost(SOCKSWITCH_PASTA),
  floor,
];

/** Those that run where none are named. */
export const USUAL_DRIVERS: readonly Driver[] = DRIVERS.filter(
  ({ onRequest }) => onRequest === undefined,
);

/** What each `--network` program comes in, on Debian. */
export const PACKAGES: Readonly<Record<string, string>> = {
  pasta: 'passt',
  slirp4netns: 'slirp4netns',
  bypass4netns: 'bypass4netns',
};
