/** What a result must say about where it was measured. Nothing in it names the machine or its user. */
import { readFile } from 'node:fs/promises';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Place } from '../places/place.js';
import type { Environment } from '../report/results.js';
import { execute } from './execute.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** What can change a figure: not texts, results, and tests that measure nothing. */
const WHAT_COUNTS = [
  'src',
  'native',
  'bench/**/*.ts',
  'bench/**/*.c',
  'test/kubernetes/**/*.ts',
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

/** `root`: the repository or package, for those who are not compiled into build/bench. */
export async function describeEnvironment(
  place: Pick<Place, 'kind' | 'run'>,
  root = ROOT,
): Promise<Environment> {
  return {
    place: place.kind,
    kernel: release(),
    architecture: process.arch,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    loadAverage: loadavg()[0] ?? 0,
    versions: {
      sockswitch: await ownVersion(root),
      node: process.versions.node,
      ...(await collect(VERSIONS, (argv) => firstVersion(place, argv))),
    },
    sysctls: await collect(
      Object.fromEntries(SYSCTLS.map((name) => [name, ['sysctl', '-n', name]])),
      async (argv) => (await place.run(argv)).trim().replaceAll('\t', ' '),
    ),
    commit: (await git(root, 'rev-parse', '--short=12', 'HEAD')) ?? 'unknown',
    modified: ((await git(root, 'status', '--porcelain', '--', ...WHAT_COUNTS)) ?? '') !== '',
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
async function firstVersion(place: Pick<Place, 'run'>, argv: readonly string[]): Promise<string> {
  const output = await place.run(argv);
  return /\d+\.\d+[^\s,]*/.exec(output)?.[0] ?? output.split('\n')[0] ?? '';
}

async function ownVersion(root: string): Promise<string> {
  const text = await readFile(join(root, 'package.json'), 'utf8');
  const { version }: { version: string } = JSON.parse(text);
  return version;
}

/** Undefined where this is not a clone. */
async function git(root: string, ...args: readonly string[]): Promise<string | undefined> {
  try {
    return (
      await execute(['git', '-C', root, '-c', `safe.directory=${root.replace(/\/$/, '')}`, ...args])
    ).trim();
  } catch {
    return undefined;
  }
}
