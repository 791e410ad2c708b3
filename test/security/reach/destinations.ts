/**
 * Where the probe connects to, the same list in both containers. Who answers where is in stage.ts; an address that nobody should have
 * is answered by a stranger, remote, behind the host's default gateway.
 */
import { FAR, HOST1, REMOTE } from '../../integration/support/lab.js';

export const PORT = 18100;
/** For rules and firewalls that look at ports. */
export const OTHER_PORT = 18101;
export const PORTS = `${PORT},${OTHER_PORT}`;
/** The host's second address, which options of the fallback programs name. */
export const SECOND = { v4: '10.77.0.111', v6: 'fd77::111' } as const;
/** Prefixes that remote answers for, where the lab has nobody. */
export const STRANGERS = [
  ...[
    '192.0.2.0/24',
    '10.0.2.0/24',
    '10.101.0.0/16',
    '10.55.0.0/16',
    '10.9.0.0/16',
    '169.254.1.0/24',
  ],
  ...['fd00::/64', 'fd01::/16'],
] as const;
export const CLUSTER_IP = '10.96.0.10';

/** Label and address; the rest of what reach.c takes. */
function destination(label: string, address: string, ...options: string[]): string {
  return [label, address, String(PORT), ...options].join(',');
}

const LOOPBACK: readonly string[] = [
  destination('loopback', '127.0.0.1'),
  destination('loopback-high', '127.9.9.9'),
  destination('any', '0.0.0.0'),
  destination('loopback6', '::1'),
  destination('any6', '::'),
  destination('loopback-mapped', '::ffff:127.0.0.1'),
  destination('any-mapped', '::ffff:0.0.0.0'),
];

const HOST: readonly string[] = [
  destination('host', HOST1.v4),
  destination('host6', HOST1.v6),
  destination('host-mapped', `::ffff:${HOST1.v4}`),
  destination('host-second', SECOND.v4),
  destination('host-second6', SECOND.v6),
];

const OUTSIDE: readonly string[] = [
  destination('lan', REMOTE.v4),
  destination('lan6', REMOTE.v6),
  destination('lan-mapped', `::ffff:${REMOTE.v4}`),
  destination('lan-gateway', '10.77.0.1'),
  destination('lan-gateway6', 'fd77::1'),
  `lan-other-port,${REMOTE.v4},${OTHER_PORT}`,
  destination('far', FAR.v4),
  destination('far6', FAR.v6),
  destination('far-mapped', `::ffff:${FAR.v4}`),
  `far-other-port,${FAR.v4},${OTHER_PORT}`,
  `far-refused,${FAR.v4},81`,
];

/** The same place by sockets that are not like the others. */
const SOCKETS: readonly string[] = [
  destination('far-user', FAR.v4, 'maker=1000', 'caller=1000'),
  destination('far-made-by-user', FAR.v4, 'maker=1000'),
  destination('far-called-by-user', FAR.v4, 'caller=1000'),
  destination('far6-user', FAR.v6, 'maker=1000', 'caller=1000'),
  destination('far-mark', FAR.v4, 'mark=5'),
  destination('far-tos', FAR.v4, 'tos=16'),
  destination('far-bound', FAR.v4, 'from=self'),
  destination('far6-bound', FAR.v6, 'from=self'),
  destination('far-bound-loopback', FAR.v4, 'from=127.0.0.1'),
  destination('far-device', FAR.v4, 'device=eth0'),
  destination('far-device-tap', FAR.v4, 'device=tap0'),
  destination('far-device-lo', FAR.v4, 'device=lo'),
];

/** What fallback programs answer themselves, or translate. */
const OF_PROGRAMS: readonly string[] = [
  destination('host.containers.internal', '169.254.1.2'),
  'pasta-dns,169.254.1.1,53',
  destination('slirp-host', '10.0.2.2'),
  destination('slirp-host6', 'fd00::2'),
  'slirp-dns,10.0.2.3,53',
  destination('mapped-guest', '192.0.2.55'),
  destination('mapped-loopback', '192.0.2.56'),
  'mapped-dns,192.0.2.53,53',
  'far-dns,10.99.0.1,53',
  destination('own-gateway', '10.55.0.1'),
];

const onBridge = (n: number): readonly string[] => [
  destination(`near-${n}`, `10.101.${n}.20`),
  destination(`near6-${n}`, `fd01:${n}::20`),
  destination(`near-mapped-${n}`, `::ffff:10.101.${n}.20`),
  destination(`bridge-${n}`, `10.101.${n}.1`),
  destination(`bridge6-${n}`, `fd01:${n}::1`),
  destination(`nobody-${n}`, `10.101.${n}.21`),
];

/** Containers on networks that the container is not on. */
const ELSEWHERE: readonly string[] = [
  destination('other-31', '10.101.31.20'),
  destination('other-101', '10.101.101.20'),
];

/** Service addresses that rules of the container translate. */
const TRANSLATED: readonly string[] = [destination('cluster-ip', CLUSTER_IP)];

export function destinations(bridge: number | undefined): readonly string[] {
  return [
    ...[...LOOPBACK, ...HOST, ...OUTSIDE, ...SOCKETS, ...OF_PROGRAMS, ...ELSEWHERE, ...TRANSLATED],
    ...(bridge === undefined ? [] : onBridge(bridge)),
  ];
}
