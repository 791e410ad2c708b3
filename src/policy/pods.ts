/** Which connections of pods are switched, as annotation and command line say it: "none", "egress", or "egress" and prefixes. */
import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import { holds, type Prefix, parsePrefix } from './prefix.js';

export interface PodsRequest {
  readonly egress: boolean;
  /** IPv4, canonical, none with an address of NEVER. */
  readonly networks: readonly Prefix[];
}

export const MAX_PODS_NETWORKS = 8;

/** As may_be_listed() of native/base/ipv4_block.h has it. */
const NEVER: readonly (readonly [Prefix, string])[] = [
  ['0.0.0.0/8', 'unspecified addresses'],
  ['127.0.0.0/8', 'loopback addresses'],
  ['169.254.0.0/16', 'link-local addresses'],
  ['224.0.0.0/3', 'multicast and reserved addresses'],
];

/** `where` names what `value` is of: "annotation sockswitch/pods". Throws UserError. */
export function parsePods(
  where: string,
  value: string,
  separator: RegExp,
  hint: string,
): PodsRequest {
  const [word, ...rest] = value.split(separator).filter((part) => part !== '');
  if (word === 'none' && rest.length === 0) return { egress: false, networks: [] };
  if (word !== 'egress') {
    throw new UserError(
      `${where} is ${quote(value)}: set it to "none" or "egress", which prefixes may follow such as 10.20.0.0/16, separated by ${hint}`,
    );
  }
  const networks = [...new Set(rest.map((part) => networkOf(where, part, hint)))];
  if (networks.length > MAX_PODS_NETWORKS) {
    throw new UserError(
      `${where} lists ${networks.length} prefixes: keep it to ${MAX_PODS_NETWORKS}; larger prefixes can cover several`,
    );
  }
  return { egress: true, networks };
}

function networkOf(where: string, text: string, hint: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    throw new UserError(
      `${where} lists ${quote(text)}: write IPv4 prefixes such as 10.20.0.0/16, separated by ${hint}`,
    );
  }
  if (prefix.includes(':')) {
    throw new UserError(
      `${where} lists ${quote(text)}: IPv6 of pods stays on the pod's network, so list IPv4 prefixes only`,
    );
  }
  if (prefix.endsWith('/0')) {
    throw new UserError(
      `${where} lists ${quote(text)}, which is all of IPv4: list the private networks that pods connect to (public addresses need no list)`,
    );
  }
  const never = NEVER.find(([range]) => holds(range, prefix) || holds(prefix, range));
  if (never !== undefined) {
    throw new UserError(
      `${where} lists ${quote(text)}, which holds ${never[1]} (${never[0]}) that stay on the pod's network: list smaller prefixes beside them`,
    );
  }
  return prefix;
}

/** Throws UserError where a listed network is wholly on the ignore list, which wins. */
export function refuseIgnored(
  where: string,
  networks: readonly Prefix[],
  ignore: readonly Prefix[],
): void {
  for (const network of networks) {
    const by = ignore.find((ignored) => holds(ignored, network));
    if (by === undefined) continue;
    throw new UserError(
      `${where} lists ${network}, which the ignore list keeps on the container network (${by}): remove it from one of the two`,
    );
  }
}
