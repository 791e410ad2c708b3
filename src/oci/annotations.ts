/**
 * The annotations by which a container asks for acceleration; docs/annotations.md is their manual.
 *
 * Two families: ours (`sockswitch/...`) and bypass4netns's (`nerdctl/bypass4netns...`), honoured so that
 * what was written for it works unchanged. Ours wins where both speak. Values come from users and images:
 * every error names the annotation, the value and the remedy.
 */
import { z } from 'zod';
import type { Mapping } from '../addon/addon.js';
import { UserError } from '../base/errors.js';
import { nearest, quote } from '../base/text.js';
import { type PodsRequest, parsePods, refuseIgnored } from '../policy/pods.js';
import { type Prefix, parsePrefix } from '../policy/prefix.js';
import { parsePublish } from '../policy/publish.js';
import { MAX_IGNORED, OUR_ANNOTATIONS } from './annotation-names.js';

export interface ContainerRequest {
  readonly enabled: boolean;
  /** Fail the start rather than run without acceleration. */
  readonly required: boolean;
  readonly ignore: readonly Prefix[];
  readonly publish: readonly Mapping[];
  /** Packet filters in the container's network namespace are no reason against acceleration. */
  readonly ignoreFirewall: boolean;
  /** Connections of network namespaces that the container makes (pods) to public addresses are switched. */
  readonly podsEgress: boolean;
  /** ... and to these, IPv4. */
  readonly podsNetworks: readonly Prefix[];
  /** Services on published ports see the host's names: their own in getsockname, and those of clients inside and of neighbours. */
  readonly hostNames: boolean;
  /** UDP ports of the kernel's tunnels that are carried; `published`: those that the container publishes. */
  readonly tunnels: TunnelRequest;
}

export type TunnelRequest = 'all' | 'none' | 'published' | readonly number[];

const OURS = 'sockswitch/';
const MAX_TUNNEL_PORTS = 64;
const MAX_VALUE_BYTES = 64 * 1024;
/** All annotations travel in the runtime's ContainerProcessState, which the keeper bounds. */
const MAX_TOTAL_BYTES = 64 * 1024;

// What Go's strconv.ParseBool takes, so that values mean here what they mean to Podman and nerdctl.
const TRUE = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

type Annotations = Readonly<Record<string, string>>;

/** Reads a container's annotations; also validates those that do not matter yet. Throws UserError. */
export function parseAnnotations(annotations: Annotations): ContainerRequest {
  refuseUnknown(Object.keys(annotations));
  const enable = boolean(annotations, 'sockswitch/enable');
  const required = boolean(annotations, 'sockswitch/required');
  const ignore = prefixList(annotations, 'sockswitch/ignore');
  const tunnels = tunnelPorts(annotations, 'sockswitch/tunnels');
  const bypass = boolean(annotations, 'nerdctl/bypass4netns');
  const bypassIgnore = subnetArray(annotations, 'nerdctl/bypass4netns-ignore-subnets');
  // Published ports are the only ones whose bind is switched, and for Podman only our own annotation
  // publishes some: there is nothing that this one could turn off.
  boolean(annotations, 'nerdctl/bypass4netns-ignore-bind');
  const publish = parsePublish(
    valueFor(annotations, 'sockswitch/publish') ?? '',
    'annotation sockswitch/publish',
  );

  const ignoreFirewall =
    choice(annotations, 'sockswitch/firewall', ['respect', 'ignore']) === 'ignore';
  const pods = podsRequest(annotations, 'sockswitch/pods', [...ignore, ...bypassIgnore]);
  const hostNames = choice(annotations, 'sockswitch/names', ['container', 'host']) === 'host';

  const enabled = enable ?? bypass ?? false;
  if (publish.length > 0 && !enabled) {
    throw new UserError(
      'annotation sockswitch/publish is set and sockswitch/enable is not: set sockswitch/enable=true, or publish with -p',
    );
  }
  if (enabled) limitTotal(annotations);
  return {
    enabled,
    required: required ?? false,
    ignore: [...new Set([...ignore, ...bypassIgnore])],
    publish,
    ignoreFirewall,
    podsEgress: pods.egress,
    podsNetworks: pods.networks,
    hostNames,
    tunnels: tunnels ?? 'published',
  };
}

function refuseUnknown(keys: readonly string[]): void {
  for (const key of keys) {
    if (!key.startsWith(OURS) || OUR_ANNOTATIONS.some((known) => known === key)) continue;
    const suggestion = nearest(key, OUR_ANNOTATIONS);
    const remedy = suggestion === undefined ? 'remove it' : `did you mean ${quote(suggestion)}?`;
    throw new UserError(
      `unknown annotation ${quote(key)}: ${remedy} (known: ${OUR_ANNOTATIONS.join(', ')})`,
    );
  }
}

function boolean(annotations: Annotations, key: string): boolean | undefined {
  const value = valueFor(annotations, key);
  if (value === undefined) return undefined;
  if (TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw new UserError(`annotation ${key} is ${quote(value)}: set it to "true" or "false"`);
}

/** The first of two words where none is given. */
function choice(annotations: Annotations, key: string, words: readonly [string, string]): string {
  const value = valueFor(annotations, key) ?? words[0];
  if (words.includes(value)) return value;
  throw new UserError(
    `annotation ${key} is ${quote(value)}: set it to "${words[0]}" or "${words[1]}"`,
  );
}

function podsRequest(
  annotations: Annotations,
  key: string,
  ignore: readonly Prefix[],
): PodsRequest {
  const where = `annotation ${key}`;
  const pods = parsePods(where, valueFor(annotations, key) ?? 'none', /[ \t\n]+/, 'blanks');
  refuseIgnored(where, pods.networks, ignore);
  return pods;
}

function tunnelPorts(annotations: Annotations, key: string): TunnelRequest | undefined {
  const value = valueFor(annotations, key);
  if (value === undefined) return undefined;
  if (TRUE.has(value) && value !== '1') return 'all';
  if (FALSE.has(value) && value !== '0') return 'none';
  const words = value.split(/[ \t\n]+/).filter((word) => word !== '');
  const ports = words.map((word) => (/^[0-9]{1,5}$/.test(word) ? Number(word) : 0));
  if (ports.length === 0 || ports.some((port) => port < 1 || port > 65535)) {
    throw new UserError(
      `annotation ${key} is ${quote(value)}: set it to "true", "false", or UDP ports from 1 to 65535 separated by blanks`,
    );
  }
  if (ports.length > MAX_TUNNEL_PORTS) {
    throw new UserError(
      `annotation ${key} holds ${ports.length} ports: keep it to ${MAX_TUNNEL_PORTS}, or set it to "true"`,
    );
  }
  return [...new Set(ports)];
}

function prefixList(annotations: Annotations, key: string): Prefix[] {
  const value = valueFor(annotations, key);
  if (value === undefined) return [];
  const words = value.split(/[ \t\n]+/).filter((word) => word !== '');
  limitCount(key, words.length);
  return words.map((word) => prefix(key, word, 'separate entries by blanks'));
}

function subnetArray(annotations: Annotations, key: string): Prefix[] {
  const value = valueFor(annotations, key);
  // Empty is what Usernetes' compose file makes of it where bypass4netns is not used.
  if (value === undefined || value === '') return [];
  const parsed = z.array(z.string()).safeParse(parseJson(value));
  if (!parsed.success) {
    throw new UserError(
      `annotation ${key} is ${quote(value)}: set it to a JSON array of strings, such as ["10.0.0.0/8", "auto"]`,
    );
  }
  limitCount(key, parsed.data.length);
  // "auto" asks for the container's own subnets; the built-in rules cover those always.
  return parsed.data
    .filter((entry) => entry !== 'auto')
    .map((entry) => prefix(key, entry, '"auto" is allowed, too'));
}

function prefix(key: string, text: string, hint: string): Prefix {
  const parsed = parsePrefix(text);
  if (parsed !== undefined) return parsed;
  throw new UserError(
    `annotation ${key} holds ${quote(text)}: write addresses or prefixes such as 10.96.0.0/16 or fd00::/8; ${hint}`,
  );
}

function valueFor(annotations: Annotations, key: string): string | undefined {
  if (!Object.hasOwn(annotations, key)) return undefined;
  const value = annotations[key];
  if (value !== undefined && Buffer.byteLength(value) > MAX_VALUE_BYTES) {
    throw new UserError(
      `annotation ${key} is ${Buffer.byteLength(value)} bytes long: keep it to ${MAX_VALUE_BYTES}`,
    );
  }
  return value;
}

function limitCount(key: string, count: number): void {
  if (count <= MAX_IGNORED) return;
  throw new UserError(
    `annotation ${key} holds ${count} entries: keep it to ${MAX_IGNORED}; larger prefixes can cover several`,
  );
}

function limitTotal(annotations: Annotations): void {
  const bytes = Buffer.byteLength(JSON.stringify(annotations));
  if (bytes <= MAX_TOTAL_BYTES) return;
  throw new UserError(
    `the annotations of this container take ${bytes} bytes as JSON: an accelerated container may have ${MAX_TOTAL_BYTES}, so shorten or remove some, or set sockswitch/enable=false`,
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
