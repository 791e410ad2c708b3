/** The options of `sockswitch with`, and the annotations that they stand for. */

import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import { MAX_IGNORED } from '../oci/annotation-names.js';
import type { Prefix } from '../policy/prefix.js';
import { knows } from './choices.js';

export interface WithOptions {
  readonly ignore?: readonly string[];
  readonly required?: boolean;
  readonly firewall?: string;
  readonly pods?: readonly string[];
  readonly tunnels?: boolean;
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

/** Annotations, names to values. Throws UserError. */
export async function annotationsFor(options: WithOptions): Promise<Record<string, string>> {
  const isKubernetes = options.preset === 'kubernetes';
  if (!isKubernetes && (options.podCidr !== undefined || options.serviceCidr !== undefined)) {
    throw new UserError(
      '--pod-cidr and --service-cidr belong to --preset kubernetes: add it, or use --ignore',
    );
  }
  const ignore = [
    ...(await prefixes('--ignore', options.ignore ?? [])),
    ...(isKubernetes ? await clusterNetworks(options) : []),
  ];
  const unique = [...new Set(ignore)];
  if (unique.length > MAX_IGNORED) {
    throw new UserError(
      `--ignore holds ${unique.length} entries: keep it to ${MAX_IGNORED}; larger prefixes can cover several`,
    );
  }
  const annotations: Record<string, string> = { 'sockswitch/enable': 'true' };
  if (options.required === true) annotations['sockswitch/required'] = 'true';
  if (unique.length > 0) annotations['sockswitch/ignore'] = unique.join(' ');
  const firewall = options.firewall ?? (isKubernetes ? 'ignore' : undefined);
  if (firewall !== undefined && knows('sockswitch/firewall')) {
    annotations['sockswitch/firewall'] = firewall;
  }
  if (options.pods !== undefined) annotations['sockswitch/pods'] = await pods(options.pods, unique);
  if ((options.tunnels === true || isKubernetes) && knows('sockswitch/tunnels')) {
    annotations['sockswitch/tunnels'] = 'true';
  }
  return annotations;
}

/** The annotation's value. */
async function pods(values: readonly string[], ignore: readonly Prefix[]): Promise<string> {
  const { parsePods, refuseIgnored } = await import('../policy/pods.js');
  const { egress, networks } = parsePods('--pods', values.join(','), /[\s,]+/, 'commas');
  refuseIgnored('--pods', networks, ignore);
  return egress ? ['egress', ...networks].join(' ') : 'none';
}

async function clusterNetworks(options: WithOptions): Promise<Prefix[]> {
  const { holds } = await import('../policy/prefix.js');
  const { podCidr, serviceCidr } = options;
  const pods = await networks('--pod-cidr', podCidr ?? KUBERNETES.pods);
  const services = await networks('--service-cidr', serviceCidr ?? KUBERNETES.services);
  const whose = (given: readonly string[] | undefined) =>
    given === undefined ? ' (of the preset)' : '';
  for (const pod of pods) {
    const other = services.find((service) => holds(pod, service) || holds(service, pod));
    if (other === undefined) continue;
    throw new UserError(
      `the pod CIDR ${pod}${whose(podCidr)} and the service CIDR ${other}${whose(serviceCidr)} overlap, which no cluster can have: correct --pod-cidr or --service-cidr`,
    );
  }
  return [...pods, ...services];
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
