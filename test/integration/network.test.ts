/** What stays on the fallback network or inside the container works there as without the annotation. */
import { expect, test } from 'vitest';
import { describeOnLab, FAR, REMOTE } from './support/lab.js';
import {
  type Comparison,
  compare,
  countersOf,
  describeMatrix,
  expectAlike,
  expectWent,
  type Pair,
} from './support/matrix.js';
import { difference, ENABLED, hasIpv6, startContainer } from './support/podman.js';
import {
  curl,
  TCP_CONNECT,
  TCP_LOOPBACK,
  TCP_RULES,
  UDP_CONNECTED,
  UDP_ECHO,
  UNIX_STREAM,
} from './support/programs.js';
import type { Verdict } from './support/results.js';

const IGNORED = FAR.v4;
/** The gateway of the lab answers that there is no way to it. */
const UNROUTABLE = '192.0.2.1';

/** Both succeed, say the same, and nothing was switched. */
async function alike(
  pair: Pair,
  command: readonly string[],
  verdict: Verdict,
  normal?: (text: string) => string,
): Promise<Comparison> {
  const comparison = await compare(pair, command);
  expectAlike(comparison, normal);
  expect(comparison.accelerated.status, comparison.accelerated.stderr).toBe(0);
  expectWent(comparison.moved, verdict);
  return comparison;
}

async function dns(pair: Pair): Promise<Verdict> {
  // The first resolver is the fallback network's own: only that one is asked.
  const resolver = "$(awk '/^nameserver/ { print $2; exit }' /etc/resolv.conf)";
  const script = `dig +short +time=5 remote.lab A @${resolver} && dig +tcp +short remote.lab AAAA @${resolver}`;
  const both = await alike(pair, ['bash', '-c', script], 'fallback');
  expect(both.accelerated.stdout).toBe(`${REMOTE.v4}\n${REMOTE.v6}\n`);
  await alike(pair, ['getent', 'ahosts', 'remote.lab'], 'fallback');
  const unknown = await compare(pair, ['getent', 'hosts', 'nowhere.lab']);
  expectAlike(unknown);
  expect(unknown.accelerated.status).toBe(2);
  return 'fallback';
}

async function ping(pair: Pair, address: string): Promise<Verdict> {
  // Several tries a second apart: one answer is enough, and a busy machine may lose some.
  const command = ['ping', '-q', '-c', '5', '-w', '30', '-i', '0.2', address];
  await alike(pair, command, 'fallback', (text) =>
    text.replace(/^\d+ packets.*|^rtt .*|^round-trip.*/gm, ''),
  );
  return 'fallback';
}

async function udp(pair: Pair, address: string): Promise<Verdict> {
  const sent = await alike(pair, [...UDP_ECHO, address, '7'], 'fallback');
  expect(sent.accelerated.stdout).toBe('marco\n');
  const connected = await alike(pair, [...UDP_CONNECTED, address, '7'], 'fallback');
  expect(connected.moved.reasons['socket-type']).toBe(1);
  return 'fallback';
}

async function overIpv6(
  pair: Pair,
  check: (pair: Pair, address: string) => Promise<Verdict>,
): Promise<Verdict> {
  return (await hasIpv6(pair)) ? check(pair, REMOTE.v6) : 'not-offered';
}

async function refused(pair: Pair): Promise<Verdict> {
  const comparison = await compare(pair, [...TCP_CONNECT, REMOTE.v4, '81']);
  expectAlike(comparison);
  expect(comparison.accelerated.stdout).toBe('ECONNREFUSED\n');
  expectWent(comparison.moved, 'accelerated');
  return 'accelerated';
}

/** Not compared: pasta answers every failure with ECONNREFUSED, slirp4netns with none at all. */
async function unroutable(pair: Pair): Promise<Verdict> {
  const command = [...TCP_CONNECT, UNROUTABLE, '80'];
  const onHost = await pair.accelerated.host.output(command);
  expect(onHost).toMatch(/^E(NET|HOST)UNREACH\n$/);
  const before = await countersOf(pair.accelerated);
  expect(await pair.accelerated.output(command)).toBe(onHost);
  expectWent(difference(before, await countersOf(pair.accelerated)), 'accelerated');
  return 'accelerated';
}

/** A route of the container's own that says no; and, without IPv6, no route at all. */
async function noRoute(pair: Pair): Promise<Verdict> {
  for (const container of [pair.plain, pair.accelerated]) {
    await container.output(['ip', 'route', 'add', 'unreachable', '10.97.0.0/16']);
    await container.output(['ip', 'route', 'add', 'prohibit', '10.96.0.0/16']);
  }
  for (const [address, errno] of [
    ['10.97.0.1', 'EHOSTUNREACH'],
    ['10.96.0.1', 'EACCES'],
  ] as const) {
    const comparison = await alike(pair, [...TCP_CONNECT, address, '80'], 'fallback');
    expect(comparison.accelerated.stdout).toBe(`${errno}\n`);
    expect(comparison.moved.reasons).toEqual({ 'no-route': 1 });
  }
  // What was remembered ends with the rule, not with the moment in which the daemon gets to know it.
  const rules = await compare(pair, [...TCP_RULES, REMOTE.v4]);
  expectAlike(rules);
  expect(rules.accelerated.stdout).toBe('0\n');
  expect(rules.moved.switched).toBeGreaterThan(50);
  if (!(await hasIpv6(pair))) {
    const comparison = await alike(pair, [...TCP_CONNECT, REMOTE.v6, '80'], 'fallback');
    expect(comparison.accelerated.stdout).toBe('ENETUNREACH\n');
  }
  return 'fallback';
}

async function ignored(pair: Pair): Promise<Verdict> {
  const { moved } = await alike(pair, curl(IGNORED, '/ip'), 'fallback');
  expect(moved.reasons).toEqual({ ignored: 1 });
  return 'fallback';
}

async function loopback(pair: Pair): Promise<Verdict> {
  for (const address of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
    const { accelerated } = await alike(pair, [...TCP_LOOPBACK, address], 'inside');
    expect(accelerated.stdout).toBe('MARCO\n');
  }
  return 'inside';
}

async function unix(pair: Pair): Promise<Verdict> {
  const { accelerated } = await alike(pair, UNIX_STREAM, 'inside');
  expect(accelerated.stdout).toBe('marco\nmarco\n');
  return 'inside';
}

async function netlink(pair: Pair): Promise<Verdict> {
  const links = await alike(pair, ['ip', '-o', 'link', 'show', 'lo'], 'inside');
  expect(links.accelerated.stdout).toContain('LOOPBACK');
  await alike(pair, ['ip', '-o', 'address', 'show', 'dev', 'lo'], 'inside');
  await alike(pair, ['ip', 'route', 'get', '127.0.0.1'], 'inside');
  return 'inside';
}

describeOnLab('legacy packet filters, whose changes the kernel does not report', () => {
  test.each([
    { iptables: 'iptables-legacy', address: REMOTE.v4 },
    { iptables: 'ip6tables-legacy', address: REMOTE.v6 },
  ])('count at once: $iptables', async ({ iptables, address }) => {
    const container = await startContainer({
      network: 'pasta',
      annotations: ENABLED,
      args: ['--cap-add=NET_ADMIN,NET_RAW'],
    });
    const script = `
connect() { ${TCP_CONNECT.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')} "$1" 80; }
for turn in 1 2 3 4 5; do
  connect "$1"
  ${iptables} -A OUTPUT -p tcp -d "$1" -j REJECT --reject-with tcp-reset || exit 1
  connect "$1"
  ${iptables} -D OUTPUT 1
done`;
    const before = await countersOf(container);
    const turns = 5;
    expect(await container.output(['bash', '-c', script, 'sh', address])).toBe(
      'connected\nECONNREFUSED\n'.repeat(turns),
    );
    const moved = difference(before, await countersOf(container));
    expect(moved.switched).toBe(turns);
    await container.remove();
  });
});

describeMatrix(
  'not accelerated',
  [
    { id: 'dns', check: dns },
    { id: 'icmp-v4', check: (pair) => ping(pair, REMOTE.v4) },
    { id: 'icmp-v6', check: (pair) => overIpv6(pair, ping) },
    { id: 'udp-v4', check: (pair) => udp(pair, REMOTE.v4) },
    { id: 'udp-v6', check: (pair) => overIpv6(pair, udp) },
    { id: 'tcp-refused', check: refused },
    { id: 'tcp-unroutable', check: unroutable },
    { id: 'tcp-no-route', check: noRoute },
    { id: 'ignored', check: ignored },
    { id: 'loopback', check: loopback },
    { id: 'unix', check: unix },
    { id: 'netlink', check: netlink },
  ],
  { args: ['--cap-add=NET_ADMIN'], annotations: { 'sockswitch/ignore': `${IGNORED}/32` } },
);
