/** Configuration, annotations and Podman's networks, compiled to the tables of the data plane. */
import type { Policy } from '../addon/addon.js';
import type { Config } from './config.js';
import type { Prefix } from './prefix.js';

export interface PolicySources extends Omit<Policy, 'ignore'> {
  readonly config: Pick<Config, 'ignore'>;
  /** `ignore` of the container's annotations. */
  readonly ignore: readonly Prefix[];
}

export function compilePolicy({ config, ignore, podmanNetworks, ...rest }: PolicySources): Policy {
  return {
    ...rest,
    ignore: [...new Set([...ignore, ...config.ignore])],
    podmanNetworks: [...new Set(podmanNetworks)],
  };
}

/** Keeps everything on the fallback network: for a listener that is not understood. */
export const SWITCH_NOTHING: Policy = {
  ignore: ['0.0.0.0/0', '::/0'],
  podmanNetworks: [],
  publish: [],
  listenUnseen: false,
  hostNames: false,
  networkAdmin: false,
  ignoreFirewall: false,
  podsEgress: false,
  podsNetworks: [],
  optionsUnseen: true,
  socketLabel: '',
};
