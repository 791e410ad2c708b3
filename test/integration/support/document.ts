/** docs/compatibility.md: the text that a run of the tests amounts to. */
import { existsSync, readFileSync } from 'node:fs';
import { BEHAVIOURS } from '../behaviours.js';
import { MATRIX } from './places.js';
import type { Results, Verdict } from './results.js';
import type { SuiteResult } from './suite-results.js';

const WORDS: Readonly<Record<Verdict, string>> = {
  accelerated: '**accelerated**',
  fallback: 'fallback network',
  inside: 'inside',
  refused: 'refused',
  'not-offered': 'not offered',
};

const VERSIONS_BEGIN = '<!-- versions -->';
const VERSIONS_END = '<!-- end of versions -->';
const SUITES_BEGIN = '<!-- suites -->';
const SUITES_END = '<!-- end of suites -->';

/** From the top of the repository. */
export const DOCUMENT = 'docs/compatibility.md';

export interface Document {
  readonly text: string;
  /** Cells that the run did not record. */
  readonly missing: readonly string[];
}

export function render(results: Results): Document {
  const cells = new Map(
    results.records.map(({ behaviour, network, runtime, verdict }) => [
      `${behaviour} on ${network} with ${runtime}`,
      verdict,
    ]),
  );
  const missing: string[] = [];
  const head = ['', ...MATRIX.map(({ network, runtime }) => `${network}, ${runtime}`)];
  const rows = BEHAVIOURS.map(({ id, text }) => [
    text,
    ...MATRIX.map(({ network, runtime }) => {
      const key = `${id} on ${network} with ${runtime}`;
      const verdict = cells.get(key);
      if (verdict === undefined) missing.push(key);
      return verdict === undefined ? '?' : WORDS[verdict];
    }),
  ]);
  const table = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
  const text = [
    ...[INTRODUCTION, versions(results), table.join('\n'), SUITES, presentSuites(), NOTES],
  ].join('\n\n');
  return { text: `${text}\n`, missing };
}

/** Whether the file in the repository says something else, versions aside. */
export function differs(text: string): boolean {
  const present = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : '';
  return withoutVersions(present) !== withoutVersions(text);
}

function withoutVersions(text: string): string {
  const [before = '', rest = ''] = text.split(VERSIONS_BEGIN);
  return before + (rest.split(VERSIONS_END)[1] ?? '');
}

function versions(results: Results): string {
  const list = Object.entries(results.versions).map(([name, version]) => `${name} ${version}`);
  return `${VERSIONS_BEGIN}\nSeen with ${list.join(', ')}.\n${VERSIONS_END}`;
}

/** The part about other people's test suites comes from runs of its own (npm run docs:suites) and stays as it is. */
function presentSuites(): string {
  const present = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, 'utf8') : '';
  const [, rest = SUITES_END] = present.split(SUITES_BEGIN);
  return `${SUITES_BEGIN}${rest.split(SUITES_END)[0]}${SUITES_END}`;
}

/** The document `text` with what `results` amount to in the place of an earlier run's. */
export function withSuites(text: string, results: readonly SuiteResult[]): string {
  const [before = '', rest = ''] = text.split(SUITES_BEGIN);
  return `${before}${SUITES_BEGIN}\n${suitesTable(results)}\n${SUITES_END}${rest.split(SUITES_END)[1] ?? ''}`;
}

function suitesTable(results: readonly SuiteResult[]): string {
  const networks = [...new Set(results.map(({ network }) => network))];
  const names = [...new Set(results.map(({ suite }) => suite))];
  const rows = names.map((name) => {
    const of = results.filter(({ suite }) => suite === name);
    const cells = networks.map((network) => {
      const result = of.find((one) => one.network === network);
      if (result === undefined) return '';
      return result.differing.length === 0 ? 'same' : `same, except ${result.differing.length}`;
    });
    return [name, of[0]?.version ?? '', String(of[0]?.tests ?? ''), ...cells];
  });
  const head = ['suite', 'version', 'tests', ...networks];
  const table = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`);
  const reasons = results.flatMap(({ suite, network, differing }) =>
    differing.map(({ test, reason }) => `- ${suite}, \`${test}\`, on ${network}: ${reason}`),
  );
  return [table.join('\n'), ...(reasons.length > 0 ? [reasons.join('\n')] : [])].join('\n\n');
}

const SUITES = `## Other people's test suites

Tests that were written for the kernel's sockets ran in an accelerated container that also publishes a port, so that most calls on sockets are reported, and in a
plain one (\`npm run test:programs\`, which also writes this table where all of it passed). *Same*: each test ended alike in both: passed, failed or
was skipped. Most of these tests talk to themselves over the loopback, so they try what acceleration leaves alone more than what it does. Where the two differ,
both run again, up to twice, and a test counts as alike once it has ended in both in the same way. libuv's \`tcp_connect_timeout\` and \`tcp_close_while_connecting\` differ now and then: they connect to where nobody
answers, and fail if an error comes within 50 ms.
The network tests of LTP are not among them: Debian has no package of LTP.`;

const INTRODUCTION = `# Compatibility

What happens to the traffic of an accelerated container, on each fallback network and with each OCI runtime.
Every cell is what the integration tests saw when they ran (\`npm run test:integration\`, then
\`npm run docs:compatibility\`, which writes this file). Each behaviour is tried in a container with
\`sockswitch/enable=true\` and in the same container without; except where a cell says *accelerated*, both
must give the same exit status and the same output.

- **accelerated**: over a socket of the host, at the host's speed.
- *fallback network*: over pasta, slirp4netns or the bridge, as without the annotation.
- *inside*: never leaves the container; sockswitch has no part in it.
- *refused*: the container does not start, and the message says why.
- *not offered*: this network does not have it, with or without acceleration.

\`bridge\` is a network made by \`podman network create\`, without IPv6, as is the default.`;

const NOTES = `## What programs can notice

An accelerated connection is a connection of the host. So a program can notice the following.

- **Errors are the host's.** A destination that the host cannot reach gives the host's own error (say,
  \`ENETUNREACH\`) at once. pasta answers every failure with \`ECONNREFUSED\`, and slirp4netns lets the
  connect time out.
- **\`getsockname\` on an outbound connection reports the host's address and port.** Other machines see the host's address with or without
  acceleration; a neighbour on a Podman network sees the container's own (below). Protocols that put the local address into messages (active FTP, some
  peer-to-peer programs) announce the host's address, where nothing listens for them. On sockets of published ports it reports the
  [container's address and port](annotations.md#the-names-of-services).
- **A socket that is bound to the host's address**, as \`getsockname\` of a connection showed it (passive FTP, FTP clients), is bound to the
  container's own address. \`getsockname\` of that socket reports the container's address.
- **At the client of a neighbour's published port** \`getsockname\` and \`getpeername\` report the host's addresses and ports, neither the container's nor the neighbour's
  ([why](architecture.md#published-ports)). The service sees the client's own address, if [\`sockswitch-names\`](operations.md#names-of-clients) has its capabilities.
- **Redis Sentinel announces the address of its own connection to a Redis server**, so the host's where that connection is accelerated. Set \`sentinel announce-ip\` to the address by which the other sentinels reach it. The addresses of
  etcd (\`--initial-advertise-peer-urls\`, \`--advertise-client-urls\`), Kafka (\`advertised.listeners\`), RabbitMQ (names of nodes, by host name), Cassandra (\`listen_address\`,
  \`broadcast_address\`) and Elasticsearch (\`network.publish_host\`) come from their configuration, the host name or the container's interfaces, which sockswitch does not change. One thing to know:
  where etcd's peers use certificates that name addresses, each compares these with the address of the peer that connects. Between neighbours that takes \`sockswitch-names\`. This was read in these programs'
  documents and source; clusters of them were not run.
- **A signal can interrupt \`getsockname\`** in a container that publishes ports, as it can \`connect\` (below): \`EINTR\`, if its handler
  does not restart calls.
- **Packet filters, proxies and traffic control inside the container's network namespace do not see accelerated connections.** A
  connection that packet filters or traffic control could see is therefore not switched, except with
  \`sockswitch/firewall=ignore\` ([annotations](annotations.md#packet-filters-of-the-container)). List destinations that need a
  transparent proxy in \`sockswitch/ignore\`.
- **\`ss\` and \`/proc/net/tcp\` inside the container do not show host sockets.** \`sockswitch sockets\` shows them.
- **A duplicate of a socket that was made before \`connect\`** (\`dup\`, a forked child, SCM_RIGHTS) stays the unconnected container
  socket: sockswitch replaces only the descriptor that \`connect\` was called on. Duplicates that are made afterwards are of the host socket.
- **No socket filter can be added to a connected host socket** (\`SO_ATTACH_FILTER\`), because it carries the
  [socket guard](threat-model.md#what-enforces-it).
- **A blocking \`connect\` that runs out of time by \`SO_SNDTIMEO\`** says \`EALREADY\` instead of \`EINPROGRESS\`.
- **A signal that arrives in the few microseconds of a switch** interrupts \`connect\` earlier than the kernel would. If the signal's handler
  restarts calls (\`SA_RESTART\`, as Go's does), the program notices nothing: the repeated call gives the first call's result. If not, \`connect\`
  says \`EINTR\` although nothing has begun. \`wait_killable = "always"\` ([configuration](configuration.md)) closes that window where the
  runtime knows it (crun does, runc 1.1 does not).
- **A published port follows the host's network to another device** (a bridge, a bond, a VLAN, the next default route) where \`sockswitch-repin\` has its capability
  ([operations](operations.md#when-the-hosts-network-moves)). Bonds and VLANs are untried. Open connections stay with the old device. Without the capability the port stays with the device that the host had
  when the service bound it: until that is back, or the service binds its port anew, nobody reaches the service, not from inside either. The same is so for a port that is published on
  one address, while the device of that address is down. While no device of the host except the loopback is up and has an address, the container's own clients reach the service, by IPv4, and neighbours and
  clients on the host do not.
- **Open connections go on after \`podman network disconnect\`.** They are the host's, and the container's network does not carry them. New
  connections are judged by the network as it is then. They are accelerated again after \`podman network connect\`, and published ports lead to the service all the while.

## What cannot be helped

A process tree can have one seccomp listener, and in an accelerated container that is sockswitch's. [Annotations](annotations.md#what-changes-in-the-containers-seccomp-profile)
lists the calls that the kernel reports to it.

- **A second listener is refused with \`EBUSY\`**: \`seccomp(2)\` with \`SECCOMP_FILTER_FLAG_NEW_LISTENER\`. A nested container whose profile uses
  \`SCMP_ACT_NOTIFY\` does not start. crun says \`seccomp (SECCOMP_SET_MODE_FILTER): Device or resource busy\`, runc says
  \`error loading seccomp filter: device or resource busy\`. Leave the outer container without acceleration, or the nested one without such a profile.
- **Tracers that let seccomp choose what they see** (\`SECCOMP_RET_TRACE\`: \`strace --seccomp-bpf\`, proot, rr) do not see those calls, as the kernel
  prefers \`SECCOMP_RET_USER_NOTIF\`; they see all others. \`strace\` without that option sees every call. For proot set \`PROOT_NO_SECCOMP=1\`; debug with rr in a
  container without acceleration.`;
