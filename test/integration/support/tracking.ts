/** Connection tracking on a host, as ufw, firewalld and Docker have it. */
import { onTestFinished } from 'vitest';
import { type Host, host1 } from './lab.js';

const RULES = `table inet tracking {
  chain input { type filter hook input priority 0; ct state new accept; }
  chain output { type filter hook output priority 0; ct state new accept; }
}`;

/** Until the test ends. */
export async function trackConnections(host: Host = host1): Promise<void> {
  onTestFinished(async () => {
    await host.run(['nft', 'delete table inet tracking'], { root: true });
  });
  await host.output(['nft', RULES], { root: true });
}
