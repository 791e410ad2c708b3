/** Who answers: the host on its loopback and its two addresses, and remote on all of its own and on those that nobody has. */
import { HOST1, host1, listens, remote } from '../../integration/support/lab.js';
import { copyPrograms, ON_HOST } from '../support/stage.js';
import { PORT, PORTS, SECOND, STRANGERS } from './destinations.js';

const root = { root: true } as const;

export async function setReachStage(): Promise<void> {
  await Promise.all([copyPrograms(host1), copyPrograms(remote)]);
  const addresses = `ip address replace ${SECOND.v4}/24 dev eth0; ip address replace ${SECOND.v6}/64 dev eth0 nodad preferred_lft 0`;
  await host1.output(['sh', '-c', addresses], root);
  const strangers = STRANGERS.map((prefix) => `ip route replace local ${prefix} dev lo`);
  await remote.output(['sh', '-c', strangers.join('\n')], root);
  const program = `./${ON_HOST}/reach`;
  const loopback = ['127.0.0.1', '::1'];
  const own = [HOST1.v4, HOST1.v6, SECOND.v4, SECOND.v6];
  await host1.serve([program, 'serve', 'host', PORTS, ...loopback, ...own], listens(PORT));
  await remote.serve([program, 'serve', 'remote', PORTS, '::'], listens(PORT));
  await clearContainers();
  const networks =
    'podman network create reach-extra; podman network create --internal reach-inner';
  await host1.output(['sh', '-c', networks]);
}

export async function clearReachStage(): Promise<void> {
  await clearContainers();
  await Promise.all([host1.stopServers(), remote.stopServers()]);
  const addresses = `ip address del ${SECOND.v4}/24 dev eth0; ip address del ${SECOND.v6}/64 dev eth0`;
  await host1.run(['sh', '-c', addresses], root);
  const strangers = STRANGERS.map((prefix) => `ip route del local ${prefix} dev lo`);
  await remote.run(['sh', '-c', strangers.join('\n')], root);
}

/** Removes all containers, pods and networks of the tests of reach, except the networks of the stage. */
export async function clearContainers(networks = 'reach-'): Promise<void> {
  const script = `
podman rm --force --time 0 --filter label=reach $(podman ps -aq --filter label=reach) 2>/dev/null
podman pod rm --force --time 0 $(podman pod ls -q --filter label=reach) 2>/dev/null
for network in $(podman network ls --format '{{.Name}}' | grep -E "^$1"); do podman network rm --force --time 0 "$network"; done
rm -rf reach-sync; true`;
  await host1.sh(script, [networks]);
}
