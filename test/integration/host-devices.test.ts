/**
 * Published ports while the host's network moves from device to device: a service's socket is pinned to one, and follows
 * (native/publish/pins.h). Where it cannot, for want of the capability, it is served again when its device has the address back.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  daemonStatus,
  killDaemon,
  logSince,
  logSize,
  startDaemon,
  stopDaemon,
} from './support/daemon.js';
import { describeOnLab, eventually, HOST1, HOST2, host1, host2 } from './support/lab.js';
import { NETWORKS } from './support/places.js';
import { type Container, startContainer } from './support/podman.js';
import { ask, listening, publish, service } from './support/published.js';

const REPIN_PROGRAM = '/opt/sockswitch/build/Release/sockswitch-repin';

const NO_CAPABILITY = 'no file capabilities here';

/** What $1 says, with the host's own device $2, its address $3 and its gateway $4. It may be said again. */
const MOVE = `
set -e
own=$2 address=$3 via=$4
to() { ip address add "$address" dev "$1"; ip route replace default via "$via" dev "$1"; }
for device in moved0 moved1; do ip link del $device 2>/dev/null || true; done
ip address flush dev "$own" scope global
ip link set "$own" up
# It would answer for the address of the macvlan device on it, too, and get its clients, who then are relayed.
echo 1 >"/proc/sys/net/ipv4/conf/$own/arp_ignore"
ip link del spare0 2>/dev/null || true
case $1 in
own) to "$own" ;;
bridge) ip link add moved0 type bridge; ip link set moved0 up; ip link set "$own" master moved0; to moved0 ;;
macvlan) ip link add link "$own" name moved1 type macvlan; ip link set moved1 up; to moved1 ;;
alone) to "$own"; ip link set "$own" down ;;
down)
  ip link add spare0 type veth peer name spare1
  ip link set spare1 up; ip link set spare0 up; ip address add 192.0.2.77/24 dev spare0
  to "$own"; ip link set "$own" down ;;
esac`;
type Place = 'own' | 'bridge' | 'macvlan' | 'down' | 'alone';

describeOnLab('the host’s network moves to another device', () => {
  let own: [device: string, address: string, gateway: string];
  let able: boolean;
  let named: boolean;
  const containers: Container[] = [];

  const move = async (to: Place): Promise<void> => {
    const { status, stderr } = await host1.sh(MOVE, [to, ...own], { root: true });
    expect(status, stderr).toBe(0);
    await host2.output(['ip', 'neighbour', 'flush', 'all'], { root: true });
  };
  /** The client's own address: no relay is between. */
  const direct = (port: number) =>
    eventually(`host2 at port ${port}`, async () =>
      (await ask(host2, 'tcp', HOST1.v4, port)) === HOST2.v4 ? true : undefined,
    );
  const inside = (container: Container, address = '127.0.0.1') =>
    eventually(`${container.name} inside`, async () =>
      (await ask(container, 'tcp', '127.0.0.1', 80)) === address ? true : undefined,
    );
  const everywhere = async (): Promise<void> => {
    await Promise.all(
      containers.map(async (container, n) => {
        await direct(8551 + n);
        await inside(container, named ? '127.0.0.1' : HOST1.v4);
        expect(await ask(host1, 'tcp', '127.0.0.1', 8551 + n)).toBe(HOST1.v4);
      }),
    );
  };

  beforeAll(async () => {
    const read = async (script: string) => (await host1.sh(script)).stdout.trim();
    const route = await read('ip -o -4 route show default');
    const device = / dev (\S+)/.exec(route)?.[1] ?? '';
    const address = await read(`ip -o -4 address show dev ${device} | awk '{ print $4; exit }'`);
    able = (await read(`getcap ${REPIN_PROGRAM}`)) !== '';
    if (!able && process.env['CI'] === 'true') throw new Error(NO_CAPABILITY);
    named = (await daemonStatus()).hostNames === undefined;
    own = [device, address, / via (\S+)/.exec(route)?.[1] ?? ''];
    for (const [n, network] of NETWORKS.entries()) {
      // Workers that share the port have a socket each.
      const worker = service('tcp', '0.0.0.0', '80', 'reuseport');
      const container = await startContainer({
        network,
        annotations: publish(`${8551 + n}:80`),
        command: ['bash', '-c', '"$@" & "$@" & exec "$@"', 'bash', ...worker],
      });
      await listening(container, 3);
      containers.push(container);
    }
    await everywhere();
  }, 60_000);
  afterAll(async () => {
    await host1.output(['chmod', '755', REPIN_PROGRAM], { root: true });
    await move('own');
    // As `lab up` makes it: a device that was down has lost its IPv6 routes.
    const restore = `
echo 0 >/proc/sys/net/ipv4/conf/${own[0]}/arp_ignore
ip -6 address replace ${HOST1.v6}/64 dev ${own[0]} nodad
ip -6 route replace default via fd77::1`;
    await host1.sh(restore, [], { root: true });
  });

  test('services follow it to a bridge, to a macvlan device, to one that is made anew, and back', async ({
    skip,
  }) => {
    skip(!able, NO_CAPABILITY);
    for (const to of ['bridge', 'own', 'macvlan', 'macvlan', 'own'] as const) {
      await move(to);
      await everywhere();
    }
  });

  test('the last of several moves counts', async ({ skip }) => {
    skip(!able, NO_CAPABILITY);
    for (const to of ['bridge', 'own', 'macvlan', 'own', 'bridge'] as const) await move(to);
    await everywhere();
    await move('own');
    await everywhere();
  });

  test('inside, services answer while it is down, where another device has an address', async ({
    skip,
  }) => {
    skip(!able, NO_CAPABILITY);
    await move('down');
    for (const container of containers) await inside(container);
    expect(await ask(host1, 'tcp', '127.0.0.1', 8551)).toBe('192.0.2.77');
    await move('own');
    await everywhere();
  });

  test('inside, services answer also while the host has no other device, and nobody else gets there', async ({
    skip,
  }) => {
    skip(!able, NO_CAPABILITY);
    await move('alone');
    for (const container of containers) await inside(container);
    // By the loopback device, where services would take them for clients inside.
    for (const address of ['127.0.0.1', '127.0.0.2', HOST1.v4]) {
      const read = 'timeout 1 bash -c \'exec 3<>"/dev/tcp/$0/8551"; head -c 1 <&3\' "$1"';
      expect((await host1.sh(read, [address])).stdout, address).toBe('');
    }
    for (const container of containers) await inside(container);
    await move('own');
    await everywhere();
  });

  test('a daemon that comes later moves them, too', async ({ skip }) => {
    skip(!able, NO_CAPABILITY);
    await killDaemon();
    await move('bridge');
    await startDaemon();
    await everywhere();
    await stopDaemon();
    await move('own');
    await startDaemon();
    await everywhere();
  });

  describe('without the capability', () => {
    test('the log says why, and they are served again when their device has the address back', async () => {
      // What a daemon has reported once it does not report again.
      await stopDaemon();
      await startDaemon();
      await host1.output(['chmod', '000', REPIN_PROGRAM], { root: true });
      const before = await logSize();
      await move('bridge');
      const log = await eventually('a line in the log', async () => {
        const text = await logSince(before);
        return text.includes('setcap cap_net_raw=ep') ? text : undefined;
      });
      expect(log.split('setcap cap_net_raw=ep')).toHaveLength(2);
      expect(await ask(host2, 'tcp', HOST1.v4, 8551)).toMatch(/Error$|^closed$/);
      expect(await ask(containers[0] as Container, 'tcp', '127.0.0.1', 80)).toMatch(
        /Error$|^closed$/,
      );
      await move('own');
      await everywhere();
      await host1.output(['chmod', '755', REPIN_PROGRAM], { root: true });
    });
  });
});
