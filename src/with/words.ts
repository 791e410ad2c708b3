/**
 * What the command line of a `podman`, `podman-remote` or `buildah` that runs under `sockswitch with` asks for, and what has to be added
 * to it. Pure.
 *
 * Only verbs that make build containers are changed, by one option, `--security-opt seccomp=PROFILE`. Whatever is not
 * recognized is left as it is: its containers then run as without us.
 */
import { FOR_CONTAINERS } from './service.js';
import type { PROGRAMS } from './state.js';

/** What a build can have of the annotations: the others are about a container's start. */
export const CARRIED = ['sockswitch/ignore', 'sockswitch/firewall'] as const;

export type Tool = (typeof PROGRAMS)[number];

type Environment = Readonly<Record<string, string | undefined>>;

/** Global options that take a value as the next word (podman(1), buildah(1)). */
const WITH_VALUE = new Set([
  ...['--cdi-spec-dir', '--cgroup-manager', '--config', '--conmon', '--connection', '-c'],
  ...['--context', '--cpu-profile', '--db-backend', '--default-mounts-file', '--events-backend'],
  ...[
    '--hooks-dir',
    '--host',
    '-H',
    '--identity',
    '--imagestore',
    '--log-level',
    '--memory-profile',
  ],
  ...['--module', '--namespace', '--network-backend', '--network-cmd-path', '--network-config-dir'],
  ...[
    '--out',
    '--pull-option',
    '--registries-conf',
    '--registries-conf-dir',
    '--root',
    '--runroot',
  ],
  ...['--runtime', '--runtime-flag', '--short-name-alias-conf', '--ssh', '--storage-driver'],
  ...['--storage-opt', '--tls-ca', '--tls-cert', '--tls-key', '--tmpdir', '--trace-file', '--url'],
  ...['--userns-gid-map', '--userns-uid-map', '--volumepath'],
]);

/** Those that name a service, and so lead to it. */
const NAMES_SERVICE = new Set(['--connection', '-c', '--url', '--context', '--host', '-H']);

/** Verbs whose containers run commands and that take --security-opt; words, one under the other. */
const PODMAN_BUILDS = [['build'], ['image', 'build'], ['buildx', 'build'], ['builder', 'build']];
const BUILD_VERBS: Readonly<Record<Tool, readonly (readonly string[])[]>> = {
  podman: PODMAN_BUILDS,
  'podman-remote': PODMAN_BUILDS,
  buildah: [['build'], ['build-using-dockerfile'], ['bud']],
};

/**
 * Verbs of buildah that get no profile. A working container would keep its path, and `run` fails where the file is gone
 * (at logout) or no keeper answers; with --isolation=chroot it runs, and connects nowhere. `run` itself takes no profile.
 */
const WORKING = ['from', 'run'] as const;

/** Options of docker-compose and podman-compose that take a value as the next word, before the verb. */
const COMPOSE_WITH_VALUE = new Set([
  ...['--ansi', '--env-file', '--file', '-f', '--parallel', '--profile', '--progress'],
  ...['--project-directory', '--project-name', '-p'],
]);
const COMPOSE_STARTS = new Set(['create', 'run', 'scale', 'up', 'watch']);

export interface Call {
  /** The option, variable or program by which it goes to a service; undefined: the work is done here. */
  readonly remote: string | undefined;
  /** What the verb starts; undefined: neither. */
  readonly starts: 'containers' | 'builds' | undefined;
  /** Why some of what the call starts cannot be accelerated: it takes no profile, or another program starts it. */
  readonly unseen: string | undefined;
  /** What makes or uses a working container. */
  readonly working: (typeof WORKING)[number] | undefined;
  /** What the call builds with, or a working container has; undefined for every other verb. */
  readonly build: Build | undefined;
}

export interface Build {
  /** Where in the words an option of the verb can be put. */
  readonly at: number;
  /** The value of the last `--security-opt seccomp=`: a file's path or "unconfined"; undefined without one. */
  readonly seccomp: string | undefined;
  /** The words that give `seccomp`, by position; all of these are taken out for another. */
  readonly seccompWords: readonly number[];
  /** "chroot", "oci", ...; undefined where nothing is said. */
  readonly isolation: string | undefined;
  /** "none", "host", ...; likewise. */
  readonly network: string | undefined;
}

/** Reads the words behind the program's name. */
export function readCall(tool: Tool, words: readonly string[], environment: Environment): Call {
  let at = 0;
  for (; words[at]?.startsWith('-') === true; at++) {
    const [name, value] = split(words[at] ?? '');
    if (value === undefined && WITH_VALUE.has(name)) at++;
  }
  const verb = BUILD_VERBS[tool].find((one) =>
    one.every((word, index) => words[at + index] === word),
  );
  const working = tool === 'buildah' ? WORKING.find((one) => one === words[at]) : undefined;
  const length = verb?.length ?? (working && 1);
  const build = length === undefined ? undefined : readBuild(words, at + length, environment);
  if (tool === 'buildah') {
    return { remote: undefined, starts: verb && 'builds', unseen: undefined, working, build };
  }
  const starts = verb === undefined ? startsOf(words.slice(at)) : 'builds';
  const remote = tool === 'podman-remote' ? tool : service(words, environment);
  const unseen = starts && unseenIn(words.slice(at), starts, environment);
  return { remote, starts, unseen, working, build };
}

/**
 * What leads podman to a service, by its own rules: `--remote` and `-r` win over the environment, nothing over the
 * others. It looks before it knows its options, and takes a word behind one that it does not look for as its value,
 * were it the verb.
 */
function service(words: readonly string[], environment: Environment): string | undefined {
  let named: string | undefined;
  let switched: string | false | undefined;
  for (let at = 0; words[at]?.startsWith('-') === true; at++) {
    const [name, value] = split(words[at] ?? '');
    if (name === '--remote' || name === '-r') switched = !isFalse(value) && name;
    else {
      if (NAMES_SERVICE.has(name)) named ??= name;
      if (value === undefined && words[at + 1]?.startsWith('-') === false) at++;
    }
  }
  const variable = ['CONTAINER_HOST', 'CONTAINER_CONNECTION'].find(
    (name) => environment[name] !== undefined, // an empty one, too
  );
  const { SOCKSWITCH_WITH_REMOTE: configured = '' } = environment;
  return (
    named ??
    ((switched ?? variable) || undefined) ??
    (configured === '' ? undefined : '"remote = true" of Podman’s configuration')
  );
}

/** What a verb of podman that is none of BUILD_VERBS starts. */
function startsOf([verb = '', second = '', ...rest]: readonly string[]): Call['starts'] {
  const isOneOf = (...names: readonly string[]) =>
    names.includes(second) ? 'containers' : undefined;
  switch (verb) {
    case 'run':
    case 'create':
      return 'containers';
    case 'container':
      return isOneOf('run', 'create', 'clone');
    case 'kube':
      return rest.includes('--down') ? undefined : isOneOf('play');
    case 'play':
      return rest.includes('--down') ? undefined : isOneOf('kube');
    case 'farm':
      return second === 'build' ? 'builds' : undefined;
    case 'compose':
      return startsOfCompose([second, ...rest]);
    default:
      return undefined;
  }
}

function startsOfCompose(words: readonly string[]): Call['starts'] {
  let at = 0;
  for (; words[at]?.startsWith('-') === true; at++) {
    if (COMPOSE_WITH_VALUE.has(words[at] ?? '')) at++;
  }
  const verb = words[at] ?? '';
  if (verb === 'build') return 'builds';
  return COMPOSE_STARTS.has(verb) ? 'containers' : undefined;
}

/** Of a call that starts something. */
function unseenIn(
  [verb = '', , ...rest]: readonly string[],
  starts: NonNullable<Call['starts']>,
  environment: Environment,
): string | undefined {
  if (verb === 'farm') {
    return '"podman farm build" builds on other machines, too, which do not have the profile: build with "podman build"';
  }
  const build = rest.findLast((word) => /^--build(=|$)/.test(word));
  if ((verb === 'kube' || verb === 'play') && build !== undefined && !isFalse(split(build)[1])) {
    return '"podman kube play --build" gives builds no profile: build the image with "podman build" first, the containers themselves are accelerated';
  }
  if (verb !== 'compose') return undefined;
  const { PODMAN_COMPOSE_PROVIDER: provider } = environment; // front.ts has looked for it where it was not set
  if (provider === undefined || /(^|\/)podman-compose$/.test(provider)) return undefined;
  const otherwise = starts === 'builds' ? 'build the images with "podman build"' : FOR_CONTAINERS;
  return `"podman compose" runs ${provider}, which has a Podman service do the work: use podman-compose (PODMAN_COMPOSE_PROVIDER=podman-compose), or ${otherwise}`;
}

function readBuild(words: readonly string[], start: number, environment: Environment): Build {
  let seccomp: string | undefined;
  const seccompWords: number[] = [];
  let isolation = environment['BUILDAH_ISOLATION'] || undefined;
  let network: string | undefined;
  for (let at = start; at < words.length && words[at] !== '--'; at++) {
    const [name, inside] = split(words[at] ?? '');
    if (!['--security-opt', '--isolation', '--network', '--net'].includes(name)) continue;
    const positions = inside === undefined ? [at, ++at] : [at];
    const value = inside ?? words[at] ?? '';
    if (name === '--isolation') isolation = value;
    else if (name !== '--security-opt') network = value;
    else if (/^seccomp[=:]/.test(value)) {
      seccomp = value.slice('seccomp='.length);
      seccompWords.push(...positions);
    }
  }
  return { at: start, seccomp, seccompWords, isolation, network };
}

/** The words with `profile` as the seccomp profile of the build. */
export function withProfile(words: readonly string[], build: Build, profile: string): string[] {
  const kept = words.map((word, at) => (build.seccompWords.includes(at) ? undefined : word));
  kept.splice(build.at, 0, '--security-opt', `seccomp=${profile}`);
  return kept.filter((word) => word !== undefined);
}

/** An option and the value that is in the same word: `--name=value`, `-n=value` or `-nvalue`. */
function split(word: string): [string, string | undefined] {
  if (!word.startsWith('--'))
    return [word.slice(0, 2), word.slice(2).replace(/^=/, '') || undefined];
  const at = word.indexOf('=');
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** As Go reads a switch. */
function isFalse(value: string | undefined): boolean {
  return ['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value ?? '');
}
