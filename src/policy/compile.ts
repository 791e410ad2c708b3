/** Configuration, annotations and Podman's networks, compiled to the tables of the data plane. */
import type { Policy } from '../addon/addon.js';
import type { Config } from './config.js';
import type { Prefix } from './prefix.js';

export interface PolicySources {
  readonly config: Pick<Config, 'ignore'>;
  /** `ignore` of the container's annotations. */
  readonly ignore: readonly Prefix[];
  readonly podmanNetworks: readonly Prefix[];
  /** The data plane's numbers of the ports that are reserved for the container. */
  readonly publish: readonly number[];
  readonly listenUnseen: boolean;
  readonly networkAdmin: boolean;
  readonly ignoreFirewall: boolean;
  readonly optionsUnseen: boolean;
  readonly socketLabel: string;
}

export function compilePolicy(sources: PolicySources): Policy {
  return {
    ignore: [...new Set([...sources.ignore, ...sources.config.ignore])],
    podmanNetworks: [...new Set(sources.podmanNetworks)],
    publish: [...sources.publish],
    listenUnseen: sources.listenUnseen,
    networkAdmin: sources.networkAdmin,
    ignoreFirewall: sources.ignoreFirewall,
    optionsUnseen: sources.optionsUnseen,
    socketLabel: sources.socketLabel,
  };
}

/** Keeps everything on the fallback network: for a listener that is not understood. */
export const SWITCH_NOTHING: Policy = {
  ignore: ['0.0.0.0/0', '::/0'],
  podmanNetworks: [],
  publish: [],
  listenUnseen: false,
  networkAdmin: false,
  ignoreFirewall: false,
  optionsUnseen: true,
  socketLabel: '',
};
