/** What is said of a node whose service addresses are not all on its ignore list. */

/** `address`: one of them. */
export function unlistedService(address: string): string {
  return `the service address ${address}, which kube-proxy's rules or device name, is on no ignore list of the node; where they do not (yet), connections to it leave by the host's network`;
}

export const LIST_SERVICES =
  'make the node again with "sockswitch with --preset kubernetes --service-cidr PREFIX", or with the prefix in sockswitch/ignore';
