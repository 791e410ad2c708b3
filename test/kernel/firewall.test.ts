/**
 * What path/firewall.h says of rules that real programs put into the kernel: nft, iptables on nftables and legacy, ip
 * xfrm, tc. Each case is a namespace of its own (unshare -Urn, so no root is needed) with a pair of devices, rules, and
 * firewall-probe's answers.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, describe, expect, type TestContext, test } from 'vitest';
import { program } from '../unit/native/programs.js';
import {
  KUBE_PROXY_IPTABLES,
  KUBE_PROXY_IPVS_CHAINS,
  KUBE_PROXY_NFTABLES,
  NETAVARK_IPTABLES,
  NETAVARK_NFTABLES,
  nft,
} from './firewall-rules.js';

interface Answer {
  readonly obstacle: string | null;
  readonly translate: boolean;
  readonly forwarded: string;
  readonly words: string;
  readonly services: readonly string[];
}

const PUBLIC = '192.0.2.1';
const PUBLIC_6 = '2001:db8::1';
const directory = mkdtempSync(join(tmpdir(), 'sockswitch-firewall-'));
afterAll(() => rmSync(directory, { recursive: true }));

const DEVICES = `ip link set lo up
ip link add eth0 type veth peer name eth1
ip addr add 198.51.100.2/24 dev eth0; ip -6 addr add 2001:db8:5::2/64 dev eth0 nodad
ip link set eth1 up; ip link set eth0 up
`;

/** Runs the rules, then asks for "DESTINATION PORT" with these options. */
async function ask(
  rules: string,
  destinations: readonly string[],
  options = '',
): Promise<Answer[]> {
  const probe = program('firewall-probe');
  const script = `${DEVICES}${rules}\nexec ${probe} ${options} ${destinations.join(' ')}`;
  const env = { XTABLES_LOCKFILE: join(directory, 'lock') };
  const { stdout } = await execa('unshare', ['-Urn', 'sh', '-e'], { env, input: script });
  return stdout.split('\n').map((line) => JSON.parse(line) as Answer);
}

/** Skips what cannot be tried here; in a CI it fails. */
async function need(programs: readonly string[], context: TestContext): Promise<void> {
  for (const name of programs) {
    const { exitCode } = await execa('sh', ['-c', `command -v ${name}`], { reject: false });
    if (exitCode === 0) continue;
    const reason = `${name} is missing (Debian packages nftables, iptables, iproute2)`;
    if (process.env['CI'] === 'true') throw new Error(reason);
    context.skip(reason);
  }
}

function programsOf(rules: string): string[] {
  const known = [
    'nft',
    'iptables-nft',
    'iptables-legacy',
    'ip6tables-legacy',
    'ip6tables-nft',
    'arptables-nft',
    'tc',
  ];
  return [
    'unshare',
    'ip',
    ...known.filter((name) => new RegExp(`(^|[\\n;| ])${name}[ -]`).test(rules)),
  ];
}

const output = (rules: string) =>
  nft(`table inet f { chain o { type filter hook output priority 0; ${rules} } }`);

describe('obstacles', () => {
  type Row = [name: string, rules: string, expected: string | null, destination?: string];
  const rows: Row[] = [
    ['nothing', '', null],
    ['an empty table', nft('table inet f {}'), null],
    ['chains that accept', output('policy accept;'), null],
    ['a chain that nobody calls', nft('table inet f { chain c { drop } }'), null],
    ['iptables-nft listed', 'iptables-nft -L >/dev/null; iptables-nft -t nat -L >/dev/null', null],
    [
      'legacy tables listed',
      'for t in raw mangle nat filter; do iptables-legacy -t $t -L >/dev/null; done',
      null,
    ],
    ['a policy', output('policy drop;'), 'nftables: table inet f, chain o'],
    ['a rule', output('counter'), 'nftables: table inet f, chain o'],
    [
      'a rule for replies',
      nft('table ip t { chain i { type filter hook input priority 0; tcp sport 80 drop } }'),
      'nftables: table ip t, chain i',
    ],
    [
      'prerouting',
      nft('table ip t { chain p { type filter hook prerouting priority -300; notrack } }'),
      'nftables: table ip t, chain p',
    ],
    [
      'postrouting',
      nft('table ip t { chain p { type nat hook postrouting priority 100; masquerade } }'),
      'nftables: table ip t, chain p',
    ],
    [
      'a rule for forwarded packets',
      nft('table ip t { chain p { type filter hook forward priority 0; drop } }'),
      null,
    ],
    [
      'IPv6 only',
      nft('table ip6 t { chain p { type filter hook output priority 0; drop } }'),
      null,
    ],
    [
      'IPv6 only, asked for IPv6',
      nft('table ip6 t { chain p { type filter hook output priority 0; drop } }'),
      'nftables: table ip6 t, chain p',
      PUBLIC_6,
    ],
    [
      'ARP',
      nft('table arp t { chain p { type filter hook output priority 0; drop } }'),
      'nftables: table arp t, chain p',
    ],
    [
      'ARP does not concern IPv6',
      nft('table arp t { chain p { type filter hook output priority 0; drop } }'),
      null,
      PUBLIC_6,
    ],
    ['arptables', 'arptables-nft -A OUTPUT -j DROP', 'nftables: table arp filter, chain OUTPUT'],
    [
      'bridges',
      nft('table bridge t { chain p { type filter hook prerouting priority 0; drop } }'),
      null,
    ],
    [
      'ingress of the device',
      nft('table netdev t { chain p { type filter hook ingress device eth0 priority 0; drop } }'),
      'nftables: table netdev t, chain p',
    ],
    [
      'egress of the device',
      nft('table netdev t { chain p { type filter hook egress device eth0 priority 0; drop } }'),
      'nftables: table netdev t, chain p',
    ],
    [
      'egress of another device',
      nft('table netdev t { chain p { type filter hook egress device eth1 priority 0; drop } }'),
      null,
    ],
    [
      'inet ingress of two devices',
      nft(
        'table inet t { chain p { type filter hook ingress devices = { lo, eth0 } priority 0; drop } }',
      ),
      'nftables: table inet t, chain p',
    ],
    [
      'a dormant table',
      nft('table ip t { flags dormant; chain p { type filter hook output priority 0; drop } }'),
      null,
    ],
    [
      'iptables on nftables',
      'iptables-nft -A OUTPUT -j DROP',
      'nftables: table ip filter, chain OUTPUT',
    ],
    ['legacy iptables', 'iptables-legacy -A OUTPUT -j DROP', 'iptables-legacy: table filter'],
    ['a legacy policy', 'iptables-legacy -P INPUT DROP', 'iptables-legacy: table filter'],
    [
      'legacy mangle',
      'iptables-legacy -t mangle -A POSTROUTING -j MARK --set-mark 1',
      'iptables-legacy: table mangle',
    ],
    [
      'a legacy chain that nobody calls',
      'iptables-legacy -N c; iptables-legacy -A c -j DROP',
      null,
    ],
    ['legacy forwarding', 'iptables-legacy -A FORWARD -j DROP', null],
    ['legacy ip6tables', 'ip6tables-legacy -A OUTPUT -j DROP', null],
    [
      'legacy ip6tables, asked for IPv6',
      'ip6tables-legacy -A OUTPUT -j DROP',
      'ip6tables-legacy: table filter',
      PUBLIC_6,
    ],
    [
      'an xfrm policy',
      'ip xfrm policy add dir out src 0.0.0.0/0 dst 203.0.113.0/24 action block',
      'xfrm policies',
    ],
    ['an xfrm default', 'ip xfrm policy setdefault out block', 'xfrm policies: blocked by default'],
    [
      'a shaper',
      'tc qdisc add dev eth0 root tbf rate 1mbit burst 32k latency 400ms',
      'qdisc tbf on eth0',
    ],
    [
      'a shaper of another device',
      'tc qdisc add dev eth1 root tbf rate 1mbit burst 32k latency 400ms',
      null,
    ],
    ['a plain queue', 'tc qdisc add dev eth0 root pfifo limit 100', null],
    ['clsact alone', 'tc qdisc add dev eth0 clsact', null],
    [
      'a filter at egress',
      'tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress protocol ip u32 match u32 0 0 flowid 1:1',
      'tc filter on eth0',
    ],
    [
      'a filter at ingress',
      'tc qdisc add dev eth0 ingress; tc filter add dev eth0 parent ffff: protocol ip u32 match u32 0 0 flowid 1:1',
      'tc filter on eth0',
    ],
  ];
  test.for(rows)('%s', async ([, rules, expected, destination = PUBLIC], context) => {
    await need(programsOf(rules), context);
    const [answer] = await ask(rules, [destination, '80'], '--out eth0 --source 198.51.100.2');
    expect(answer?.obstacle).toBe(expected);
  });
});

describe('translation', () => {
  /** Destinations and what is expected of each. */
  type Row = [name: string, rules: string, expected: Record<string, boolean>];
  const nat = (rules: string, more = '') =>
    nft(`table ip t { ${more} chain o { type nat hook output priority -100; ${rules} } }`);
  const to = 'dnat to 10.0.0.1';
  const rows: Row[] = [
    ['nothing', '', { '192.0.2.1 80': false, '2001:db8::1 80': false }],
    ['all', nat(to), { '192.0.2.1 80': true, '2001:db8::1 80': false }],
    ['an address', nat(`ip daddr 10.1.0.1 ${to}`), { '10.1.0.1 80': true, '10.1.0.2 80': false }],
    [
      'a prefix',
      nat(`ip daddr 10.1.0.0/20 ${to}`),
      { '10.1.15.1 80': true, '10.1.16.1 80': false },
    ],
    [
      'all but an address',
      nat(`ip daddr != 10.1.0.1 ${to}`),
      { '10.1.0.1 80': false, '10.1.0.2 80': true },
    ],
    ['a port', nat(`tcp dport 443 ${to}`), { '10.1.0.1 80': false, '10.1.0.1 443': true }],
    [
      'ports',
      nat(`tcp dport 400-500 ${to}`),
      { '10.1.0.1 399': false, '10.1.0.1 443': true, '10.1.0.1 501': false },
    ],
    ['another protocol', nat(`udp dport 443 ${to}`), { '10.1.0.1 443': false }],
    [
      'an anonymous set',
      nat(`ip daddr { 10.1.0.1, 10.1.0.3 } ${to}`),
      { '10.1.0.3 80': true, '10.1.0.2 80': false },
    ],
    [
      'a set of intervals',
      nat(
        `ip daddr @s ${to}`,
        'set s { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 10.3.0.1-10.3.0.9, 10.4.0.1 } }',
      ),
      {
        '10.1.255.255 80': true,
        '10.2.0.0 80': false,
        '10.3.0.9 80': true,
        '10.3.0.10 80': false,
        '10.4.0.1 80': true,
        '10.4.0.2 80': false,
        '9.0.0.1 80': false,
      },
    ],
    [
      'intervals side by side',
      nat(
        'ip daddr vmap @m',
        `chain n { ${to} }
map m { type ipv4_addr : verdict; flags interval; elements = { 10.1.0.0/17 : jump n, 10.1.128.0/17 : accept } }`,
      ),
      { '10.1.127.255 80': true, '10.1.128.0 80': false },
    ],
    [
      'a concatenation',
      nat(
        `ip daddr . tcp dport @s ${to}`,
        'set s { type ipv4_addr . inet_service; elements = { 10.1.0.1 . 80 } }',
      ),
      { '10.1.0.1 80': true, '10.1.0.1 81': false, '10.1.0.2 80': false },
    ],
    [
      'a concatenation of intervals',
      nat(
        `ip daddr . tcp dport @s ${to}`,
        'set s { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/16 . 80-90 } }',
      ),
      { '10.1.2.3 85': true, '10.1.2.3 91': false, '10.2.0.1 85': false },
    ],
    [
      'a map of destinations',
      nat(
        'dnat to ip daddr map @m',
        'map m { type ipv4_addr : ipv4_addr; elements = { 10.1.0.1 : 10.0.0.1 } }',
      ),
      { '10.1.0.1 80': true, '10.1.0.2 80': false },
    ],
    [
      'a map of verdicts with a rest',
      nat('ip daddr vmap { 10.1.0.1 : accept, * : jump n }', `chain n { ${to} }`),
      { '10.1.0.1 80': false, '10.1.0.2 80': true },
    ],
    [
      'a set that times out',
      nat(`ip daddr @s ${to}`, 'set s { type ipv4_addr; flags timeout; }'),
      { '10.1.0.1 80': true },
    ],
    ['an address that is the own', nat(`fib daddr type local ${to}`), { '10.1.0.1 80': false }],
    [
      'an address that is not the own',
      nat(`fib daddr type != local ${to}`),
      { '10.1.0.1 80': true },
    ],
    [
      'a returned packet',
      nat(`ip daddr 10.1.0.1 return; ${to}`),
      { '10.1.0.1 80': false, '10.1.0.2 80': true },
    ],
    [
      'a chain that returns',
      nat(`jump c; ${to}`, 'chain c { ip daddr 10.1.0.1 return; accept }'),
      { '10.1.0.1 80': true, '10.1.0.2 80': false },
    ],
    [
      'a chain that is gone to',
      nat(`goto c; ${to}`, 'chain c { ip daddr 10.1.0.1 return; }'),
      { '10.1.0.1 80': false, '10.1.0.2 80': false },
    ],
    ['established connections', nat(`ct state established ${to}`), { '10.1.0.1 80': false }],
    ['new connections', nat(`ct state new ${to}`), { '10.1.0.1 80': true }],
    ['a mark that nobody sets', nat(`meta mark 7 ${to}`), { '10.1.0.1 80': false }],
    [
      'a mark that is set',
      nat(`ip daddr 10.1.0.1 meta mark set 0x17; meta mark and 0xf == 7 ${to}`),
      { '10.1.0.1 80': true, '10.1.0.2 80': false },
    ],
    [
      'a mark that stays',
      nat(`meta mark set 7 ip daddr 10.9.9.9 accept; meta mark 7 ${to}`),
      { '10.1.0.1 80': true },
    ],
    ['what is not known: a user', nat(`meta skuid 1000 ${to}`), { '10.1.0.1 80': true }],
    ['what is not known: chance', nat(`numgen random mod 2 0 ${to}`), { '10.1.0.1 80': true }],
    ['a device', nat(`oifname "eth0" ${to}`), { '10.1.0.1 80': true }],
    ['another device', nat(`oifname "eth1" ${to}`), { '10.1.0.1 80': false }],
    ['devices', nat(`oifname "eth*" ${to}`), { '10.1.0.1 80': true }],
    [
      'redirect',
      nat('tcp dport 80 redirect to :8080'),
      { '10.1.0.1 80': true, '10.1.0.1 81': false },
    ],
    [
      'masquerade',
      nft('table ip t { chain o { type nat hook postrouting priority 100; masquerade } }'),
      { '10.1.0.1 80': false },
    ],
    [
      'a header is rewritten',
      nft(
        'table ip t { chain o { type filter hook output priority 0; ip daddr 10.1.0.1 ip daddr set 10.0.0.1 } }',
      ),
      { '10.1.0.1 80': true, '10.1.0.2 80': false },
    ],
    [
      'frames are sent elsewhere',
      nft(
        'table netdev t { chain e { type filter hook egress device eth0 priority 0; ip daddr 10.1.0.1 fwd to eth1 } }',
      ),
      { '10.1.0.1 80': true, '10.1.0.2 80': false },
    ],
    [
      'filters do not translate',
      output('policy drop; tcp dport 80 drop'),
      { '10.1.0.1 80': false },
    ],
    [
      'but refuse a destination',
      output('ip daddr 10.1.0.1 reject; ip daddr != 10.0.0.0/8 drop'),
      { '10.1.0.1 80': true, '10.1.0.2 80': false, '192.0.2.1 80': false },
    ],
    [
      'IPv6',
      nft(
        'table ip6 t { chain o { type nat hook output priority -100; ip6 daddr fd00::/64 tcp dport 80 dnat to fd01::1 } }',
      ),
      { 'fd00::5 80': true, 'fd00::5 81': false, '2001:db8::1 80': false, '10.1.0.1 80': false },
    ],
    [
      'iptables: multiport',
      'iptables-legacy -t nat -A OUTPUT -p tcp -m multiport --dports 80,90:99 -j DNAT --to 10.0.0.1',
      { '10.1.0.1 80': true, '10.1.0.1 95': true, '10.1.0.1 100': false },
    ],
    [
      'iptables: goto',
      'iptables-legacy -t nat -N c; iptables-legacy -t nat -A OUTPUT -d 10.1.0.0/16 -g c; iptables-legacy -t nat -A OUTPUT -j REDIRECT -p tcp',
      { '10.1.0.1 80': false, '10.2.0.1 80': true },
    ],
    [
      'iptables: a device',
      'iptables-legacy -t nat -A OUTPUT ! -o eth+ -j DNAT --to 10.0.0.1',
      { '10.1.0.1 80': false },
    ],
    [
      'iptables: what is not known',
      'iptables-nft -t nat -A OUTPUT -m time --timestart 10:00 -j DNAT --to 10.0.0.1',
      { '10.1.0.1 80': true },
    ],
    [
      'ip6tables',
      'ip6tables-legacy -t nat -A OUTPUT -d fd00::/64 -p tcp --dport 80 -j DNAT --to fd01::1',
      { 'fd00::5 80': true, 'fd00::5 81': false, 'fd00:0:0:1::5 80': false },
    ],
    ...(['nft', 'iptables-nft', 'iptables-legacy'] as const).map(
      (mode): Row => [
        `kube-proxy by ${mode}`,
        mode === 'nft'
          ? nft(KUBE_PROXY_NFTABLES)
          : `${mode}-restore <<'RULES'\n${KUBE_PROXY_IPTABLES}\nRULES`,
        {
          '10.96.0.1 443': true,
          '10.96.0.10 53': true,
          '10.96.0.77 80': true, // without endpoints: refused
          '192.0.2.1 443': false,
          '192.0.2.1 30080': false,
          '10.244.1.5 80': false,
        },
      ],
    ),
    [
      'kube-proxy by IPVS: its iptables rules alone',
      `iptables-legacy-restore <<'RULES'\n${KUBE_PROXY_IPVS_CHAINS}\nRULES`,
      { '192.0.2.1 443': false },
    ],
  ];
  test.for(rows)('%s', async ([, rules, expected], context) => {
    await need(programsOf(rules), context);
    const answers = await ask(rules, Object.keys(expected), '--out eth0 --source 198.51.100.2');
    const found = Object.keys(expected).map((key, i) => [key, answers[i]?.translate]);
    expect(Object.fromEntries(found)).toEqual(expected);
  });
});

describe('service addresses', () => {
  const restore = (program: string, rules: string) =>
    `${program}-restore <<'RULES'\n${rules}\nRULES`;
  const version6 = (program: string) => `
${program} -t nat -N KUBE-SERVICES; ${program} -t nat -N KUBE-SVC-A; ${program} -t nat -N KUBE-EXT-A
${program} -t nat -A OUTPUT -j KUBE-SERVICES
${program} -t nat -A KUBE-SERVICES -d fd00:10:96::a/128 -p tcp --dport 80 -j KUBE-SVC-A
${program} -t nat -A KUBE-SERVICES -d fd00:10:97::/112 -p tcp --dport 80 -j KUBE-SVC-A
${program} -t nat -A KUBE-SERVICES ! -d fd00:10:98::1/128 -p tcp --dport 80 -j KUBE-SVC-A
${program} -t nat -A KUBE-SERVICES -d fd00:10:99::1/128 -p tcp --dport 80 -j KUBE-EXT-A`;
  const rows: [name: string, rules: string, expected: string[]][] = [
    ['none', '', []],
    ["netavark's", nft(NETAVARK_NFTABLES), []],
    ['nftables mode', nft(KUBE_PROXY_NFTABLES), ['10.96.0.1', '10.96.0.10', '10.96.0.77']],
    ...['iptables-nft', 'iptables-legacy'].map((program): (typeof rows)[number] => [
      program,
      restore(program, KUBE_PROXY_IPTABLES),
      ['10.96.0.1', '10.96.0.10'],
    ]),
    ['IPVS mode', restore('iptables-legacy', KUBE_PROXY_IPVS_CHAINS), []],
    ...['ip6tables-nft', 'ip6tables-legacy'].map((program): (typeof rows)[number] => [
      `${program}, one address only`,
      version6(program),
      ['fd00:10:96::a'],
    ]),
  ];
  test.for(rows)('%s', async ([, rules, expected], context) => {
    await need(programsOf(rules), context);
    const [answer] = await ask(rules, [PUBLIC, '80']);
    expect(answer?.services).toEqual(expected);
  });
});

describe('bounds', () => {
  const hook = 'type nat hook output priority -100;';
  /** In parts: what one command may hold is bounded where the user is no real root. */
  const parts = (count: number, of: number, rules: (numbers: number[]) => string) =>
    Array.from({ length: count / of }, (_, part) =>
      nft(rules(Array.from({ length: of }, (_, i) => part * of + i))),
    ).join('\n');
  const address = (i: number) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;

  test('a set that is too large is unknown', async (context) => {
    await need(['nft', 'unshare', 'ip'], context);
    const rules = [
      nft('table ip t { set s { type ipv4_addr; } }'),
      parts(
        250_000, // more than 4 MiB
        2500,
        (numbers) => `add element ip t s { ${numbers.map(address).join(', ')} }`,
      ),
      nft(`table ip t { chain o { ${hook} ip daddr @s dnat to 10.0.0.1 } }`),
    ].join('\n');
    const [answer] = await ask(rules, [PUBLIC, '80'], '--out eth0');
    expect(answer?.translate).toBe(true);
  });

  test('chains that call one another without end are unknown', async (context) => {
    await need(['nft', 'unshare', 'ip'], context);
    const levels = Array.from({ length: 14 }, (_, i) => {
      const calls = i < 13 ? `jump c${i + 1}; `.repeat(6) : 'counter';
      return `chain c${i} { ${calls} }`;
    });
    const rules = `table ip t { ${levels.toReversed().join(' ')} chain o { ${hook} jump c0 } }`;
    const [answer] = await ask(nft(rules), [PUBLIC, '80'], '--out eth0');
    expect(answer?.translate).toBe(true);
  });

  test('thousands of chains are read', async (context) => {
    await need(['nft', 'unshare', 'ip'], context);
    const chain = (i: number) => `chain c${i} { ip daddr 10.0.0.1 counter }`;
    const rules = [
      parts(3000, 100, (numbers) => `table ip t { ${numbers.map(chain).join(' ')} }`),
      nft(`table ip t { chain o { ${hook} jump c5; ip daddr 10.0.0.1 dnat to 10.0.0.2 } }`),
    ].join('\n');
    const answers = await ask(rules, [PUBLIC, '80', '10.0.0.1', '80'], '--out eth0');
    expect(answers.map(({ translate }) => translate)).toEqual([false, true]);
  });
});

describe('forwarding by netavark', () => {
  type Row = [name: string, more: string, from: string, to: string, expected: [string, string]];
  const way = (bridge: string, source: string, out = 'eth0') =>
    `--in ${bridge} --out ${out} --source ${source}`;
  const NO_MASQUERADE = "netavark's rules do not masquerade it";
  const DROPPED = "netavark's rules drop it (forward)";
  const rows: Row[] = [
    ['a plain network', '', way('podman1', '10.89.0.2'), PUBLIC, ['passes', '']],
    ['with IPv6', '', way('podman2', 'fd99:1::2'), PUBLIC_6, ['passes', '']],
    ['an internal network', '', way('podman3', '10.89.2.2'), PUBLIC, ['blocked', NO_MASQUERADE]],
    ['an isolated network', '', way('podman4', '10.89.3.2'), PUBLIC, ['passes', '']],
    [
      'from one isolated to another',
      '',
      way('podman4', '10.89.3.2', 'podman5'),
      '10.89.4.2',
      ['blocked', DROPPED],
    ],
    [
      'a source that is no container',
      '',
      way('podman1', '10.99.0.2'),
      PUBLIC,
      ['blocked', NO_MASQUERADE],
    ],
    [
      "the user's own table",
      nft('table inet mine { chain f { type filter hook forward priority 0; tcp dport 25 drop } }'),
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['foreign', 'nftables: table inet mine, chain f'],
    ],
    [
      "the user's own table without rules",
      nft('table inet mine { chain f { type filter hook forward priority 0; } }'),
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['passes', ''],
    ],
    [
      "the user's rule for what the namespace itself receives",
      nft('table inet mine { chain i { type filter hook input priority 0; drop } }'),
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['passes', ''],
    ],
    [
      'a legacy rule',
      'iptables-legacy -A FORWARD -p tcp --dport 25 -j DROP',
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['foreign', 'iptables-legacy: table filter'],
    ],
    [
      'a rule for frames on bridges',
      nft('table bridge b { chain p { type filter hook prerouting priority 0; drop } }'),
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['foreign', 'nftables: table bridge b, chain p'],
    ],
    [
      'an xfrm policy',
      'ip xfrm policy add dir out src 0.0.0.0/0 dst 203.0.113.0/24 action block',
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['foreign', 'xfrm policies'],
    ],
    [
      'a shaper',
      'tc qdisc add dev eth0 root tbf rate 1mbit burst 32k latency 400ms',
      way('podman1', '10.89.0.2'),
      PUBLIC,
      ['foreign', 'qdisc tbf on eth0'],
    ],
  ];
  const bridges = 'for i in 1 2 3 4 5; do ip link add podman$i type bridge; done';
  describe.for([
    ['nftables', nft(NETAVARK_NFTABLES)],
    [
      'iptables on nftables',
      `iptables-nft-restore <<'RULES'\n${NETAVARK_IPTABLES.v4}\nRULES\nip6tables-nft-restore <<'RULES'\n${NETAVARK_IPTABLES.v6}\nRULES`,
    ],
    [
      'legacy iptables',
      `iptables-legacy-restore <<'RULES'\n${NETAVARK_IPTABLES.v4}\nRULES\nip6tables-legacy-restore <<'RULES'\n${NETAVARK_IPTABLES.v6}\nRULES`,
    ],
  ] as const)('%s', ([, driver]) => {
    test.for(rows)('%s', async ([, more, from, to, expected], context) => {
      await need([...programsOf(driver), ...programsOf(more)], context);
      const [answer] = await ask(`${bridges}\n${driver}\n${more}`, [to, '80'], from);
      expect([answer?.forwarded, answer?.words]).toEqual(expected);
    });
  });
  test('a published port', async (context) => {
    await need(['nft', 'unshare', 'ip'], context);
    const [answer] = await ask(
      `${bridges}\n${nft(NETAVARK_NFTABLES)}`,
      [PUBLIC, '8081'],
      way('podman1', '10.89.0.2'),
    );
    expect(answer?.forwarded).toBe('passes'); // only the namespace's own addresses are translated
  });
  test("a rule of the user's in one of iptables' own chains", async (context) => {
    await need(['iptables-nft', 'unshare', 'ip'], context);
    const rules = `${bridges}\niptables-nft-restore <<'RULES'\n${NETAVARK_IPTABLES.v4}\nRULES\niptables-nft -I FORWARD -p tcp --dport 25 -j DROP`;
    const [answer] = await ask(rules, [PUBLIC, '80'], way('podman1', '10.89.0.2'));
    expect([answer?.forwarded, answer?.words]).toEqual([
      'foreign',
      'nftables: table ip filter, chain FORWARD',
    ]);
  });
  test('a rule that was added to a chain of netavark is evaluated', async (context) => {
    await need(['nft', 'unshare', 'ip'], context);
    const rules = `${bridges}\n${nft(NETAVARK_NFTABLES)}\nnft insert rule inet netavark FORWARD tcp dport 25 drop`;
    const answers = await ask(rules, [PUBLIC, '80', PUBLIC, '25'], way('podman1', '10.89.0.2'));
    expect(answers.map(({ forwarded }) => forwarded)).toEqual(['passes', 'blocked']);
  });
});
