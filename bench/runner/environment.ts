/** What a result must say about where it was measured. Nothing in it names the machine or its user. */
import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Place } from '../places/place.js';
import type { Environment } from '../report/results.js';
import { execute } from './execute.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** What can change a figure: not tests, texts and results. */
const WHAT_COUNTS = [
  'src',
  'native',
  'bench/**/*.ts',
  'bench/**/*.c',
  'binding.gyp',
  'package*.json',
];

const SYSCTLS = [
  'net.core.rmem_max',
  'net.core.wmem_max',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_wmem',
  'net.ipv4.tcp_congestion_control',
];

/** pasta and bypass4netns do not tell theirs: Debian's package manager does. */
const VERSIONS: Readonly<Record<string, readonly string[]>> = {
  podman: ['podman', '--version'],
  crun: ['crun', '--version'],
  conmon: ['conmon', '--version'],
  netavark: ['/usr/lib/podman/netavark', '--version'],
  pasta: ['dpkg-query', '--show', 'passt'],
  slirp4netns: ['slirp4netns', '--version'],
  bypass4netns: ['dpkg-query', '--show', 'bypass4netns'],
  iperf3: ['iperf3', '--version'],
};

export async function describeEnvironment(place: Place): Promise<Environment> {
  return {
    place: place.kind,
    kernel: release(),
    architecture: process.arch,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    loadAverage: loadavg()[0] ?? 0,
    versions: {
      sockswitch: await ownVersion(),
      node: process.versions.node,
      ...(await collect(VERSIONS, (argv) => firstVersion(place, argv))),
    },
    sysctls: await collect(
      Object.fromEntries(SYSCTLS.map((name) => [name, ['sysctl', '-n', name]])),
      async (argv) => (await place.run(argv)).trim().replaceAll('\t', ' '),
    ),
    commit: (await git('rev-parse', '--short=12', 'HEAD')) ?? 'unknown',
    modified: ((await git('status', '--porcelain', '--', ...WHAT_COUNTS)) ?? '') !== '',
  };
}

/** Without what cannot be had. */
async function collect(
  commands: Readonly<Record<string, readonly string[]>>,
  ask: (argv: readonly string[]) => Promise<string>,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, argv] of Object.entries(commands)) {
    try {
      found[name] = await ask(argv);
    } catch {
      // not installed
    }
  }
  return found;
}

/** The first thing in a program's output that looks like a version. */
async function firstVersion(place: Place, argv: readonly string[]): Promise<string> {
  const output = await place.run(argv);
  return /\d+\.\d+[^\s,]*/.exec(output)?.[0] ?? output.split('\n')[0] ?? '';
}

async function ownVersion(): Promise<string> {
  const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
  const { version }: { version: string } = JSON.parse(text);
  return version;
}

/** Undefined where this is not a clone. */
async function git(...args: readonly string[]): Promise<string | undefined> {
  try {
    return (
      await execute(['git', '-C', ROOT, '-c', `safe.directory=${ROOT.replace(/\/$/, '')}`, ...args])
    ).trim();
  } catch {
    return undefined;
  }
}
