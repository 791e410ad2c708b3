/** The options of `sockswitch with`, and the annotations that they stand for. */

import type { networkInterfaces } from 'node:os';
import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import { MAX_IGNORED } from '../oci/annotation-names.js';
import type { Prefix } from '../policy/prefix.js';
import type { Said, Side } from './cluster-command.js';

export interface WithOptions {
  readonly ignore?: readonly string[];
  readonly required?: boolean;
  readonly firewall?: string;
  readonly pods?: readonly string[];
  readonly names?: string;
  /** `true`: no value. */
  readonly tunnels?: string | boolean;
  readonly preset?: string;
  readonly podCidr?: readonly string[];
  readonly serviceCidr?: readonly string[];
  readonly shell?: boolean;
}

/** Cluster networks where nothing else is said. */
const KUBERNETES = {
  /** kind, minikube and kubeadm with flannel (Usernetes); k3s; kind's IPv6. */
  pods: ['10.244.0.0/16', '10.42.0.0/16', 'fd00:10:244::/56'],
  /** kubeadm and minikube, whose default holds kind's, too; k3s; kind's IPv6. */
  services: ['10.96.0.0/12', '10.43.0.0/16', 'fd00:10:96::/112'],
} as const;

const OPTIONS = { pods: '--pod-cidr', services: '--service-cidr' } as const;

/** What the command says itself of its cluster's networks, as far as no option does; undefined where nothing is asked of it. */
export async function saidBy(
  words: readonly string[],
  { preset, podCidr, serviceCidr }: WithOptions,
): Promise<Said | undefined> {
  const sides: Side[] = [];
  if (podCidr === undefined) sides.push('pods');
  if (serviceCidr === undefined) sides.push('services');
  if (preset !== 'kubernetes' || sides.length === 0) return undefined;
  return (await import('./cluster-command.js')).saidBy(words, sides);
}

/** Annotations, names to values. Throws UserError. */
export async function annotationsFor(
  options: WithOptions,
  said?: Said,
): Promise<Record<string, string>> {
  const isKubernetes = options.preset === 'kubernetes';
  if (!isKubernetes && (options.podCidr !== undefined || options.serviceCidr !== undefined)) {
    throw new UserError(
      '--pod-cidr and --service-cidr belong to --preset kubernetes: add it, or use --ignore',
    );
  }
  const ignore = [
    ...(await prefixes('--ignore', options.ignore ?? [])),
    ...(isKubernetes ? await listed(options, said) : []),
  ];
  const unique = [...new Set(ignore)];
  limit(unique);
  const annotations: Record<string, string> = { 'sockswitch/enable': 'true' };
  if (options.required === true) annotations['sockswitch/required'] = 'true';
  if (unique.length > 0) annotations['sockswitch/ignore'] = unique.join(' ');
  const firewall = options.firewall ?? (isKubernetes ? 'ignore' : undefined);
  if (firewall !== undefined) {
    annotations['sockswitch/firewall'] = firewall;
  }
  if (options.pods !== undefined) annotations['sockswitch/pods'] = await pods(options.pods, unique);
  if (options.names !== undefined) annotations['sockswitch/names'] = options.names;
  const tunnels = options.tunnels ?? (isKubernetes ? true : undefined);
  if (tunnels !== undefined) annotations['sockswitch/tunnels'] = tunnelsOf(String(tunnels));
  return annotations;
}

/**
 * Of all that holds, when the ignore lists of an outer `with` and of Podman's configuration are added: what the options
 * themselves are held to. Throws UserError.
 */
export async function checkTogether(annotations: Readonly<Record<string, string>>): Promise<void> {
  const { 'sockswitch/ignore': ignore = '', 'sockswitch/pods': pods } = annotations;
  const ignored = ignore.split(' ').filter(Boolean);
  limit(ignored);
  if (pods?.startsWith('egress ') !== true) return;
  const { parsePods, refuseIgnored } = await import('../policy/pods.js');
  const { parsePrefix } = await import('../policy/prefix.js');
  const canonical = ignored.flatMap((word) => parsePrefix(word) ?? []);
  refuseIgnored('--pods', parsePods('--pods', pods, /\s+/, 'blanks').networks, canonical);
}

function limit(ignored: readonly string[]): void {
  if (ignored.length <= MAX_IGNORED) return;
  throw new UserError(
    `--ignore holds ${ignored.length} entries, with those of an outer "sockswitch with" and of Podman's configuration: keep it to ${MAX_IGNORED}; larger prefixes can cover several`,
  );
}

function tunnelsOf(value: string): string {
  if (value === 'true' || value === 'false') return value;
  const ports = value.split(/[\s,]+/).filter((word) => word !== '');
  const isPort = (word: string) => /^[1-9][0-9]{0,4}$/.test(word) && Number(word) <= 65_535;
  if (ports.length > 0 && ports.every(isPort)) return [...new Set(ports)].join(' ');
  throw new UserError(
    `--tunnels is ${quote(value)}: set it to "true", "false", or UDP ports such as 8472, separated by commas; write the command behind "--"`,
  );
}

/** Warnings of networks of this host that are a cluster's, too: connections to them would not be switched. */
export async function hostNetworksIn(
  options: WithOptions,
  said?: Said,
  interfaces?: ReturnType<typeof networkInterfaces>,
): Promise<string[]> {
  if (options.preset !== 'kubernetes') return [];
  const given = interfaces ?? (await import('node:os')).networkInterfaces();
  const { holds, parsePrefix } = await import('../policy/prefix.js');
  const own = Object.entries(given).flatMap(([device, addresses = []]) =>
    addresses
      .filter(({ internal, cidr }) => !internal && cidr !== null)
      .map(({ cidr }) => [device, parsePrefix(cidr ?? '') ?? ''] as const),
  );
  const warnings: string[] = [];
  for (const { networks, place, side } of await clusterNetworks(options, said)) {
    for (const network of networks) {
      const other = own.find(
        ([, one]) => one !== '' && (holds(network, one) || holds(one, network)),
      );
      if (other === undefined) continue;
      const whose =
        place === undefined ? `${network}, a usual network of ${side},` : `${place} ${network}`;
      const what = `${whose} overlaps ${other[1]}, this host's network on ${other[0]}: what is in both is not accelerated, and a cluster may not reach it`;
      const remedy = `: name the cluster's own by ${OPTIONS[side]}, and give it another one where that overlaps, too`;
      warnings.push(place === undefined ? what + remedy : what);
    }
  }
  return warnings;
}

/** The annotation's value. */
async function pods(values: readonly string[], ignore: readonly Prefix[]): Promise<string> {
  const { parsePods, refuseIgnored } = await import('../policy/pods.js');
  const { egress, networks } = parsePods('--pods', values.join(','), /[\s,]+/, 'commas');
  refuseIgnored('--pods', networks, ignore);
  return egress ? ['egress', ...networks].join(' ') : 'none';
}

/** What stands on the list, pods' first. Throws UserError. */
async function listed(options: WithOptions, said?: Said): Promise<Prefix[]> {
  const { holds } = await import('../policy/prefix.js');
  const [pods, services] = await clusterNetworks(options, said);
  const whose = ({ place }: ClusterNetworks) => ` (${place ?? 'of the preset'})`;
  for (const pod of pods.networks) {
    const other = services.networks.find((service) => holds(pod, service) || holds(service, pod));
    if (other === undefined) continue;
    throw new UserError(
      `the pod CIDR ${pod}${whose(pods)} and the service CIDR ${other}${whose(services)} overlap, which no cluster can have: correct them, or give --pod-cidr and --service-cidr`,
    );
  }
  return [...pods.networks, ...services.networks];
}

interface ClusterNetworks {
  readonly side: Side;
  readonly networks: readonly Prefix[];
  /** Undefined: nobody has named them. */
  readonly place?: string;
}

/** Those that the options name, else the command's, else the usual ones. Throws UserError. */
async function clusterNetworks({ podCidr, serviceCidr }: WithOptions, said?: Said) {
  const usual = said?.usual ?? KUBERNETES;
  const of = async (side: Side, values?: readonly string[]): Promise<ClusterNetworks> => {
    const place = OPTIONS[side];
    if (values !== undefined) return { side, place, networks: await networks(place, values) };
    const { [side]: named } = said ?? {};
    return { side, ...(named ?? { networks: await networks(place, usual[side]) }) };
  };
  return [await of('pods', podCidr), await of('services', serviceCidr)] as const;
}

/** As `prefixes`, and there is one: a list without these would keep nothing in the node. */
async function networks(option: string, values: readonly string[]): Promise<Prefix[]> {
  const found = await prefixes(option, values);
  if (found.length > 0) return found;
  throw new UserError(
    `${option} is ${quote(values.join(','))}, which names no network: give the cluster's, such as 10.96.0.0/16, or leave the option out`,
  );
}

/** Entries may be separated by commas and blanks, as Kubernetes and the annotation do. */
async function prefixes(option: string, values: readonly string[]): Promise<Prefix[]> {
  if (values.length === 0) return [];
  const { parsePrefix } = await import('../policy/prefix.js'); // slow to load: see commands/with.ts
  return values
    .flatMap((value) => value.split(/[\s,]+/))
    .filter((word) => word !== '')
    .map((word) => {
      const prefix = parsePrefix(word);
      if (prefix !== undefined) return prefix;
      throw new UserError(
        `${option} holds ${quote(word)}: write addresses or prefixes such as 10.96.0.0/16 or fd00::/8, separated by commas`,
      );
    });
}
