/**
 * What the command line of a `podman` or `buildah` that runs under `sockswitch with` asks for, and what has to be added
 * to it. Pure.
 *
 * Only verbs that make build containers are changed, by one option, `--security-opt seccomp=PROFILE`. Whatever is not
 * recognized is left as it is: its containers then run as without us.
 */

/** What a build can have of the annotations: the others are about a container's start. */
export const CARRIED = ['sockswitch/ignore', 'sockswitch/firewall'] as const;

export type Tool = 'podman' | 'buildah';

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

/** Those by which podman asks a service instead of doing the work itself. */
const REMOTE = new Set([
  '--remote',
  '-r',
  '--connection',
  '-c',
  '--url',
  '--context',
  '--host',
  '-H',
]);

/** Verbs whose containers run commands and that take --security-opt; words, one under the other. */
const BUILD_VERBS: Readonly<Record<Tool, readonly (readonly string[])[]>> = {
  podman: [
    ['build'],
    ['image', 'build'],
    ['buildx', 'build'],
    ['builder', 'build'],
    ['farm', 'build'],
  ],
  buildah: [['build'], ['build-using-dockerfile'], ['bud'], ['from']],
};

/** Other verbs of podman that make containers; `container` and `kube` have more words, which do not matter here. */
const STARTING = new Set(['run', 'create', 'container', 'kube', 'play', 'compose']);

export interface Call {
  /** The option, or variable, by which it goes to a service; undefined: the work is done here. */
  readonly remote: string | undefined;
  /** Whether the verb makes containers that run. */
  readonly startsContainers: boolean;
  /** Why some of what the call starts cannot be accelerated: it takes no profile, or another program starts it. */
  readonly unseen: string | undefined;
  /** What the call builds with; undefined for every other verb. */
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
export function readCall(
  tool: Tool,
  words: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Call {
  let remote: string | undefined;
  let isLocal = false;
  let at = 0;
  for (; at < words.length && words[at]?.startsWith('-') === true; at++) {
    const [name = '', value] = split(words[at] ?? '');
    if (tool === 'podman' && REMOTE.has(name) && value !== 'false') remote ??= name;
    if (['--remote', '-r'].includes(name) && value === 'false') isLocal = true;
    if (value === undefined && WITH_VALUE.has(name)) at++;
  }
  if (tool === 'podman' && !isLocal && (environment['SOCKSWITCH_WITH_REMOTE'] ?? '') !== '') {
    remote ??= '"remote = true" of Podman’s configuration';
  }
  for (const name of ['CONTAINER_HOST', 'CONTAINER_CONNECTION']) {
    if (tool === 'podman' && (environment[name] ?? '') !== '') remote ??= name;
  }
  const verb = BUILD_VERBS[tool].find((one) =>
    one.every((word, index) => words[at + index] === word),
  );
  const build = verb && readBuild(words, at + verb.length, environment);
  const startsContainers = verb !== undefined || STARTING.has(words[at] ?? '');
  const unseen = tool === 'podman' ? unseenIn(words.slice(at), environment) : undefined;
  return { remote, startsContainers, unseen, build };
}

function unseenIn(
  [verb = '', second = '', ...rest]: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const isPlay = (verb === 'kube' && second === 'play') || (verb === 'play' && second === 'kube');
  const build = rest.findLast((word) => /^--build(=|$)/.test(word));
  if (isPlay && build !== undefined && !/=(false|f|0)$/i.test(build)) {
    return '"podman kube play --build" gives builds no profile: build the image with "podman build" first, the containers themselves are accelerated';
  }
  if (verb !== 'compose') return undefined;
  const { PODMAN_COMPOSE_PROVIDER: provider } = environment; // front.ts has looked for it where it was not set
  if (provider === undefined || /(^|\/)podman-compose$/.test(provider)) return undefined;
  return `"podman compose" runs ${provider}, which has a Podman service start containers: use podman-compose (PODMAN_COMPOSE_PROVIDER=podman-compose), give the services the annotation sockswitch/enable=true, or start the service itself with "sockswitch with -- podman system service"`;
}

function readBuild(
  words: readonly string[],
  start: number,
  environment: Readonly<Record<string, string | undefined>>,
): Build {
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

/** `--name=value` in two; a word without "=" has no value. */
function split(word: string): [string, string | undefined] {
  const at = word.startsWith('--') ? word.indexOf('=') : -1;
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
