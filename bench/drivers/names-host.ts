/** `sockswitch-pasta` whose `getsockname` is left to the kernel: what the names of services are compared with. */
import type { Driver } from './driver.js';

export const NAMES_HOST = 'names-host';

/** `sockswitchPasta`: the same with names. */
export function namesHost(sockswitchPasta: Driver): Driver {
  return {
    ...sockswitchPasta,
    name: NAMES_HOST,
    title: 'sockswitch over pasta, names=host',
    podmanArgs: [...sockswitchPasta.podmanArgs, '--annotation', 'sockswitch/names=host'],
    reference: true,
  };
}
