/**
 * What happens to one OCI spec on its way from Podman to the runtime: read the annotations, rewrite
 * `linux.seccomp`, and leave every other byte alone.
 *
 * The only state is a memory of the last few rewritten profiles, each under all that its rewriting depends on.
 */
import { z } from 'zod';
import type { Mapping } from '../addon/addon.js';
import { messageOf, UserError } from '../base/errors.js';
import { quote, shorten } from '../base/text.js';
import { type ContainerRequest, parseAnnotations } from './annotations.js';
import { mayGetForeignSockets } from './foreign-sockets.js';
import { findMember, setMember } from './json-text.js';
import { type ListenerMetadata, printMetadata, SELINUX_LABEL } from './listener-metadata.js';
import { type Rewrite, type RewriteOptions, rewriteSeccomp, SeccompError } from './seccomp.js';
import { parseSeccomp, printSeccomp, type Seccomp } from './seccomp-types.js';

const specView = z.object({
  annotations: z.record(z.string(), z.string()).nullish(),
  hostname: z.string().nullish(),
  mounts: z
    .array(
      z.object({
        destination: z.string().nullish(),
        type: z.string().nullish(),
        source: z.string().nullish(),
        options: z.array(z.string()).nullish(),
      }),
    )
    .nullish(),
  process: z
    .object({
      capabilities: z.object({ bounding: z.array(z.string()).nullish() }).nullish(),
      selinuxLabel: z.string().nullish(),
    })
    .nullish(),
  linux: z
    .object({
      cgroupsPath: z.string().nullish(),
      namespaces: z.array(z.object({ type: z.string(), path: z.string().nullish() })).nullish(),
      seccomp: z.unknown().optional(),
    })
    .nullish(),
});
type SpecView = z.infer<typeof specView>;

export interface SpecResult {
  /** The spec to run: the given text, or with another `linux.seccomp`. */
  readonly text: string;
  readonly accelerated: boolean;
  /** Why a container that asked for acceleration does not get it; undefined when it does. */
  readonly note?: string;
  /** Ports to reserve before the container may start. */
  readonly publish: readonly Mapping[];
  /** Identity of the network namespace that it joins; undefined: one that the runtime makes. */
  readonly netns?: string;
}

export interface SpecAnswer {
  /** The container's id as far as the spec tells it. */
  readonly container: string | undefined;
  readonly result: SpecResult | UserError;
}

export interface SpecOptions extends RewriteOptions {
  /** Identity ("DEVICE:INODE") of the network namespace at a path of the spec; undefined where it cannot be told. */
  readonly netnsAt?: (path: string) => string | undefined;
  /** Whether that namespace has any device except the loopback. */
  readonly isConnected?: (path: string) => boolean;
  /** Whether there is a regular file at a path of the spec. */
  readonly isFileAt?: (path: string) => boolean;
  /** Asked for a container that wants acceleration: why the daemon cannot give it; undefined when it can. */
  readonly obstacle?: (request: ContainerRequest) => string | undefined;
}

/** Never throws for what a spec holds: a refusal is a `UserError` in `result`. */
export function processSpec(text: string, options: SpecOptions): SpecAnswer {
  let spec: SpecView | undefined;
  try {
    spec = readSpec(text);
    return { container: containerId(spec), result: rewriteSpec(text, spec, options) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { container: spec === undefined ? undefined : containerId(spec), result: error };
  }
}

function readSpec(text: string): SpecView {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `the hook's input is not a JSON document (${shorten(messageOf(error))}): it must be run by Podman as a precreate hook`,
    );
  }
  const spec = specView.safeParse(json);
  if (spec.success) return spec.data;
  throw new UserError(`the hook's input is not an OCI spec: ${firstIssue(spec.error)}`);
}

function rewriteSpec(text: string, spec: SpecView, options: SpecOptions): SpecResult {
  const request = parseAnnotations(spec.annotations ?? {});
  if (!request.enabled) return { text, accelerated: false, publish: [] };
  const network = spec.linux?.namespaces?.find((namespace) => namespace.type === 'network');
  if (spec.linux === undefined || spec.linux === null || network === undefined) {
    // Not refused even when required: the host's network is as fast as it gets.
    return {
      text,
      accelerated: false,
      publish: [],
      note: "the container uses the host's network, so there is nothing to accelerate",
    };
  }
  const obstacle = options.obstacle?.(request);
  if (obstacle !== undefined) return unaccelerated(text, request, obstacle);
  const path = network.path ?? '';
  if (request.publish.length > 0) {
    const connected = path === '' ? !isAlone(spec) : (options.isConnected?.(path) ?? true);
    if (!connected) throw noNetwork();
  }
  const netns = path === '' ? undefined : options.netnsAt?.(path);
  const label = spec.process?.selinuxLabel ?? '';
  try {
    const metadata: ListenerMetadata = {
      ...(netns === undefined ? {} : { netns }),
      networkAdmin: spec.process?.capabilities?.bounding?.includes('CAP_NET_ADMIN') ?? false,
      optionsReported: !mayGetForeignSockets(
        { mounts: spec.mounts, namespaces: spec.linux.namespaces },
        containerId(spec),
        options.isFileAt ?? (() => false),
      ),
      ...(SELINUX_LABEL.test(label) ? { socketLabel: label } : {}),
    };
    const result = rewriteLinux(text, spec.linux.seccomp, request, metadata, {
      ...options,
      reportNames: !request.hostNames && request.publish.some(({ protocol }) => protocol === 'tcp'),
    });
    return netns === undefined ? result : { ...result, netns };
  } catch (error) {
    if (!(error instanceof SeccompError) || error.problem !== 'inexpressible') throw error;
    return unaccelerated(text, request, error.message);
  }
}

/**
 * Whether nobody will connect the namespace that the runtime makes: Podman connects such a one later only for containers
 * with a user namespace of their own, and gives all others a namespace that is connected already (Podman 4.3 to 5.4).
 */
function isAlone(spec: SpecView): boolean {
  const namespaces = spec.linux?.namespaces ?? [];
  return namespaces.every(
    ({ type, path }) => type !== 'user' && (type !== 'network' || (path ?? '') === ''),
  );
}

function noNetwork(): UserError {
  return new UserError(
    'sockswitch/publish is set and the container has no network (--network=none), so nothing may lead to its ports: give it a network, or remove the annotation',
  );
}

function rewriteLinux(
  text: string,
  present: unknown,
  request: ContainerRequest,
  metadata: ListenerMetadata,
  options: RewriteOptions,
): SpecResult {
  const complete = (spec: string): string =>
    setMember(
      spec,
      ['linux', 'seccomp'],
      'listenerMetadata',
      JSON.stringify(printMetadata(metadata)),
    );
  const span = findMember(text, ['linux', 'seccomp']);
  const hasSection = present !== undefined && present !== null;
  const section = hasSection ? text.slice(span?.start, span?.end) : undefined;
  const rewrite = rewriteSection(section, options);
  switch (rewrite.kind) {
    case 'already-ours':
      return { text: complete(text), accelerated: true, publish: request.publish };
    case 'nothing-to-accelerate':
      return unaccelerated(text, request, rewrite.reason);
    case 'rewritten':
      return {
        text: complete(setMember(text, ['linux'], 'seccomp', rewrite.section)),
        accelerated: true,
        publish: request.publish,
      };
  }
}

type SectionRewrite =
  | Exclude<Rewrite, { kind: 'rewritten' }>
  | { readonly kind: 'rewritten'; readonly section: string };

/** The last ones, by what they depend on: nearly all containers come with the same profile. */
const recentRewrites = new Map<string, SectionRewrite>();
const MAX_RECENT = 8;
/** Longer ones are not kept; Podman's own profile has a tenth of it. */
const MAX_RECENT_TEXT = 100_000;

/** `section` is the text of `linux.seccomp`, undefined where there is none. Throws UserError. */
function rewriteSection(section: string | undefined, options: RewriteOptions): SectionRewrite {
  const { listenerPath, waitKillable, refuseFastOpen, machine, reportNames } = options;
  const key = JSON.stringify([
    ...[listenerPath, waitKillable, refuseFastOpen, machine, reportNames === true],
    section,
  ]);
  const known = recentRewrites.get(key);
  if (known !== undefined) return known;
  const rewrite = rewriteSeccomp(section === undefined ? undefined : readSeccomp(section), options);
  const result: SectionRewrite =
    rewrite.kind === 'rewritten'
      ? { kind: 'rewritten', section: printSeccomp(rewrite.seccomp) }
      : rewrite;
  if (key.length > MAX_RECENT_TEXT) return result;
  const [oldest] = recentRewrites.keys();
  if (recentRewrites.size >= MAX_RECENT && oldest !== undefined) recentRewrites.delete(oldest);
  recentRewrites.set(key, result);
  return result;
}

function unaccelerated(text: string, request: ContainerRequest, reason: string): SpecResult {
  if (request.publish.length > 0) {
    throw new UserError(
      `sockswitch/publish is set and the container cannot be accelerated, so nothing would lead to its ports: ${reason}`,
    );
  }
  if (!request.required) return { text, accelerated: false, publish: [], note: reason };
  throw new UserError(
    `sockswitch/required is set and the container cannot be accelerated: ${reason}`,
  );
}

function readSeccomp(section: string): Seccomp {
  try {
    return parseSeccomp(section);
  } catch (error) {
    const reason = error instanceof z.ZodError ? firstIssue(error) : shorten(messageOf(error));
    throw new UserError(
      `linux.seccomp of the container's spec is not what the OCI runtime specification says: ${reason}; correct the seccomp profile`,
    );
  }
}

/**
 * Podman's id: the spec has no field for it, but the paths in it hold it. In a pod they hold the pod's id, and that of
 * its first container, too: a cgroup's path ends with the container's own, and some files are never shared.
 */
function containerId(spec: SpecView): string | undefined {
  const sourceOf = (destination: string) =>
    spec.mounts?.find((mount) => mount.destination === destination)?.source;
  const places = [
    spec.linux?.cgroupsPath,
    sourceOf('/run/.containerenv'),
    sourceOf('/etc/hostname'),
    ...(spec.mounts ?? []).map((mount) => mount.source),
  ];
  for (const place of places) {
    const id = idIn(place ?? '');
    if (id !== undefined) return id;
  }
  return spec.hostname ?? undefined;
}

/** The last container id that a text holds, such as a cgroup's path. */
export function idIn(text: string): string | undefined {
  return text.match(/(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])/g)?.at(-1);
}

function firstIssue(error: z.ZodError): string {
  const issue = error.issues[0];
  if (issue === undefined) return 'unknown reason';
  return `${quote(issue.path.join('.'))}: ${shorten(issue.message)}`;
}
