/**
 * Tunnels (docs/tunnels.md) under attack and in trouble, at length: test/integration/tunnels.test.ts and tunnel-outages.test.ts have
 * the short form.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  daemonPid,
  daemonStatus,
  killDaemon,
  startDaemon,
  stopDaemon,
} from '../integration/support/daemon.js';
import { FreshUser } from '../integration/support/fresh-user.js';
import {
  describeOnLab,
  eventually,
  HOST1,
  HOST2,
  type Host,
  host1,
  host2,
} from '../integration/support/lab.js';
import { Container, ENABLED, startContainer } from '../integration/support/podman.js';
import {
  carried,
  killDaemons,
  type Node,
  removeNodes,
  startNodes,
  tunnelsOf,
} from '../integration/support/tunnels.js';

const KILLS = 20;

type Inside = Pick<Container, 'output'>;

/** A plain VXLAN of a network of its own, by one UDP port. */
async function addTunnel(near: Inside, far: Inside, port: number): Promise<string> {
  const net = port % 256;
  const ends = [
    { container: near, own: 1, peer: HOST2.v4 },
    { container: far, own: 2, peer: HOST1.v4 },
  ];
  for (const { container, own, peer } of ends) {
    const script = `
ip link add vx${port} type vxlan id ${port} dstport ${port} remote ${peer} nolearning
ip address add 192.168.${net}.${own}/24 dev vx${port}
ip link set vx${port} mtu 1400 up`;
    await container.output(['sh', '-e', '-c', script]);
  }
  return `192.168.${net}.2`;
}

function startPublished(host: Host, ports: readonly number[]): Promise<Container> {
  const publish = ports.map((port) => `--publish=${port}:${port}/udp`);
  const args = ['--cap-add=NET_ADMIN', ...publish];
  return startContainer({ annotations: ENABLED, args, host });
}

async function startPair(ports: readonly number[]): Promise<readonly [Container, Container]> {
  return [await startPublished(host1, ports), await startPublished(host2, ports)];
}

describeOnLab('several tunnels', () => {
  test('two on one container, and a second container on another port', async () => {
    const pairs = [
      { ports: [4789, 8472], pair: await startPair([4789, 8472]) },
      { ports: [4790], pair: await startPair([4790]) },
    ];
    for (const { ports, pair } of pairs) {
      for (const port of ports) {
        const far = await addTunnel(...pair, port);
        const ping = await pair[0].exec(['ping', '-q', '-c', '1', '-w', '30', far]);
        expect(ping.status, ping.stdout).toBe(0);
      }
    }
    for (const { ports, pair } of pairs) {
      for (const container of pair) {
        await eventually('all are carried', async () =>
          (await tunnelsOf(container))?.up === ports.length ? true : undefined,
        );
      }
      const [near] = pair;
      for (const port of ports) {
        const before = (await tunnelsOf(near))?.sentBytes ?? 0;
        const ping = [
          'ping',
          '-q',
          '-c',
          '5',
          '-i',
          '0.2',
          '-s',
          '1000',
          `192.168.${port % 256}.2`,
        ];
        expect((await near.exec(ping)).status).toBe(0);
        await eventually('it goes by the underlay', async () =>
          ((await tunnelsOf(near))?.sentBytes ?? 0) > before + 5_000 ? true : undefined,
        );
      }
    }
    const daemons = [await daemonPid(host1), await daemonPid(host2)];
    for (const { pair } of pairs) for (const container of pair) await container.remove();
    // Peers that are carried end together.
    for (const host of [host1, host2]) {
      await eventually('all have ended', async () =>
        (await daemonStatus(host)).containers === 0 ? true : undefined,
      );
    }
    expect([await daemonPid(host1), await daemonPid(host2)]).toEqual(daemons);
  });
});

/** The first has a peer that is carried, and its packets come from `source`. */
async function expectCarried(near: Container, far: Container, source: string = HOST1.v4) {
  await eventually('the peer is carried', async () =>
    (await tunnelsOf(near))?.up === 1 ? true : undefined,
  );
  const row = async () => {
    const list = JSON.parse(await far.host.output(['sockswitch', 'tunnels', '--json'])) as {
      tunnels: { container: string; sources: { address: string }[] }[];
    };
    return list.tunnels.find(({ container }) => container === far.id)?.sources;
  };
  expect((await row())?.map(({ address }) => address)).toEqual([source]);
}

describeOnLab('published tunnels', () => {
  const NET_ADMIN = ['--cap-add=NET_ADMIN'];

  test('by sockswitch/publish', async () => {
    const port = 4791;
    const annotations = { ...ENABLED, 'sockswitch/publish': `${port}:${port}/udp` };
    const near = await startContainer({ annotations, args: NET_ADMIN, host: host1 });
    const far = await startContainer({ annotations, args: NET_ADMIN, host: host2 });
    await addTunnel(near, far, port);
    await expectCarried(near, far);
    await expectCarried(far, near, HOST2.v4);
    for (const container of [near, far]) await container.remove();
  });

  test('by kube play', async () => {
    const port = 4792;
    const pod = {
      ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'tunnel', annotations: ENABLED } },
      spec: {
        containers: [
          {
            ...{ name: 'one', image: 'localhost/lab', command: ['sleep', 'infinity'] },
            imagePullPolicy: 'Never',
            ports: [{ containerPort: port, hostPort: port, protocol: 'UDP' }],
            securityContext: { capabilities: { add: ['NET_ADMIN'] } },
          },
        ],
      },
    };
    const play = async (host: Host) => {
      const words = ['podman', 'kube', 'play', '--network', 'pasta', '-'];
      await host.output(words, { stdin: JSON.stringify(pod) });
      const inspect = ['podman', 'inspect', '--format', '{{.Id}}', 'tunnel-one'];
      return new Container(host, (await host.output(inspect)).trim(), 'tunnel-one');
    };
    try {
      const [near, far] = [await play(host1), await play(host2)];
      await addTunnel(near, far, port);
      await expectCarried(near, far);
      await expectCarried(far, near, HOST2.v4);
    } finally {
      for (const host of [host1, host2]) {
        await host.run(['podman', 'pod', 'rm', '--force', '--ignore', '--time', '0', 'tunnel']);
      }
    }
  });

  test('by podman-compose, on its bridge', async () => {
    const port = 4794;
    const service = {
      ...{ image: 'localhost/lab', command: ['sleep', 'infinity'], annotations: ENABLED },
      ...{ cap_add: ['NET_ADMIN'], ports: [`${port}:${port}/udp`] },
    };
    const file = '/tmp/tunnel-compose.yaml';
    const compose = ['podman-compose', '--no-ansi', '--file', file, '--project-name', 'tunnel'];
    const up = async (host: Host) => {
      const yaml = JSON.stringify({ services: { node: service } });
      await host.sh('cat >"$1"', [file], { stdin: yaml });
      await host.output([...compose, 'up', '--detach']);
      const inspect = ['podman', 'inspect', '--format', '{{.Id}}', 'tunnel_node_1'];
      return new Container(host, (await host.output(inspect)).trim(), 'tunnel_node_1');
    };
    try {
      const [near, far] = [await up(host1), await up(host2)];
      await addTunnel(near, far, port);
      await expectCarried(near, far);
      await expectCarried(far, near, HOST2.v4);
    } finally {
      for (const host of [host1, host2]) {
        await host.run([...compose, 'down', '--timeout', '0']);
        await host.run(['rm', '--force', file]);
      }
    }
  });

  test.each(['pasta:--outbound,10.77.0.111', 'slirp4netns:outbound_addr=10.77.0.111'])(
    '%s: peers see that address',
    async (network) => {
      const [port, second] = [4793, '10.77.0.111'];
      const address = (verb: string) =>
        host1.output(['ip', 'address', verb, `${second}/24`, 'dev', 'eth0'], { root: true });
      const args = [...NET_ADMIN, `--publish=${port}:${port}/udp`];
      await address('add');
      try {
        const near = await startContainer({ annotations: ENABLED, args, network, host: host1 });
        const far = await startContainer({ annotations: ENABLED, args, host: host2 });
        await addTunnel(near, far, port);
        await expectCarried(near, far, second);
        for (const container of [near, far]) await container.remove();
      } finally {
        await address('del');
      }
    },
  );
});

/** In the network namespace of a container, from outside: a call inside may wait for a daemon. */
async function rules(podman: Podman, container: string): Promise<string> {
  const format = ['--format', '{{.State.Pid}}', container];
  const pid = (await podman.output(['podman', 'inspect', ...format])).trim();
  return podman.output([
    ...['podman', 'unshare', 'nsenter', '--net', '--target', pid],
    ...['sh', '-c', 'ip rule; ip -6 rule; ip route show table all; ip -br link'],
  ]);
}
type Podman = Pick<Host, 'output'>;
const OURS = /ssw|proto 115|dport/;

describeOnLab('what a killed daemon leaves in the namespace', () => {
  test('is a rule that leads nowhere, and the next daemon removes it, also where it carries none', async () => {
    const port = 4794;
    const [near, far] = await startPair([port]);
    await addTunnel(near, far, port);
    await expectCarried(near, far);
    expect(await rules(host1, near.id)).toMatch(/ssw0/);
    await killDaemon(host1);
    const left = await rules(host1, near.id);
    expect(left.match(/dport/g)).toHaveLength(2); // one of each family
    expect(left).not.toMatch(/ssw|dev .* proto 115/);
    const config = '"$HOME/.config/sockswitch/config.toml"';
    await host1.output(['bash', '-c', `echo 'tunnels = false' >${config}`]);
    try {
      await startDaemon(host1);
      await eventually('it is gone', async () =>
        OURS.test(await rules(host1, near.id)) ? undefined : true,
      );
    } finally {
      await host1.output(['bash', '-c', `rm ${config}`]);
    }
    await expectCarried(near, far);
    await stopDaemon(host1);
    expect(await rules(host1, near.id), 'after a daemon that was stopped').not.toMatch(OURS);
    await startDaemon(host1);
    for (const container of [near, far]) await container.remove();
  });

  test('of another user of the host goes with uninstall', async () => {
    const [port, others] = [4795, 4796];
    const user = new FreshUser(host1, 'tunnels');
    await user.create();
    try {
      await user.output(['sockswitch', 'install']);
      const daemon = await user.daemon();
      const run = ['podman', 'run', '--detach', '--cap-add=NET_ADMIN'];
      const sleep = ['localhost/lab', 'sleep', 'infinity'];
      const publish = ['--network=pasta', `--publish=${port}:${port}/udp`];
      await user.output([...run, '--name=stays', ...publish, ...sleep]);
      const joins = ['--network=container:stays', '--annotation=sockswitch/enable=true'];
      const name = ['--name=goes', '--annotation=sockswitch/tunnels=true'];
      await user.output([...run, ...name, ...joins, ...sleep]);
      const goes = {
        output: (words: readonly string[]) =>
          user.output(['podman', 'exec', '-i', 'goes', ...words]),
      };
      // Both users at once.
      const own = await startPublished(host1, [others]);
      const far = await startPublished(host2, [port, others]);
      await addTunnel(own, far, others);
      await addTunnel(goes, far, port);
      await eventually('both are carried', async () =>
        (await tunnelsOf(own))?.up === 1 && OURS.test(await rules(user, 'stays'))
          ? true
          : undefined,
      );
      await user.output(['sh', '-c', 'kill -KILL $(sockswitch status --json | jq .pid)']);
      await daemon.stop();
      await user.output(['podman', 'rm', '--force', '--time=0', 'goes']);
      expect(await rules(user, 'stays')).toMatch(/dport/);
      await user.output(['sockswitch', 'uninstall']);
      expect(await rules(user, 'stays')).not.toMatch(OURS);
      expect((await tunnelsOf(own))?.up, "the other user's").toBe(1);
      for (const container of [own, far]) await container.remove();
    } finally {
      await user.remove();
    }
  });
});

describeOnLab('tunnels', () => {
  let nodes: readonly [Node, Node];
  beforeAll(async () => {
    nodes = await startNodes();
    await carried(nodes[0]);
    await carried(nodes[1]);
  });
  afterAll(() => removeNodes(nodes));

  test(
    `${KILLS} daemons that are killed under load lose no connection`,
    {
      timeout: 900_000,
    },
    () => killDaemons(nodes, KILLS),
  );
});
