/**
 * Two containers, on host1 and host2, with a VXLAN between them as flannel makes it, and a pod behind a bridge in each: what
 * tests of tunnels start from.
 */
import { eventually, HOST1, HOST2, type Host, host1, host2 } from './lab.js';
import { type Container, type ContainerOptions, ENABLED, startContainer } from './podman.js';

export const PORT = 8472;

export interface Node {
  readonly container: Container;
  readonly host: Host;
  /** Of the pod in it. */
  readonly pod: string;
  /** `sockswitch tunnels --json`, of this container. */
  tunnels(): Promise<Tunnel | undefined>;
  /** iperf3's server in the pod, for one client. */
  serveIperf(): Promise<void>;
  /** A command in the pod. */
  inPod(script: string): ReturnType<Container['exec']>;
}

export interface Tunnel {
  readonly reason: string;
  readonly peers: readonly {
    readonly address: string;
    readonly port: number;
    readonly state: string;
    readonly reason: string;
    readonly sentBytes: number;
  }[];
  readonly sources: readonly { readonly address: string; readonly receivedBytes: number }[];
  readonly listening: readonly { readonly hostPort: number; readonly problem: string }[];
}

/** A container's tunnels, as `sockswitch ps --json` has them. */
export interface Tunnels {
  readonly up: number;
  readonly fallback: number;
  readonly reasons: readonly string[];
  readonly sentBytes: number;
}

export async function tunnelsOf({ id, host }: Container): Promise<Tunnels | undefined> {
  const json = await host.output(['sockswitch', 'ps', '--json']);
  const list = JSON.parse(json) as { containers: { id: string; tunnels?: Tunnels }[] };
  return list.containers.find((container) => container.id === id)?.tunnels;
}

const MAKE = `
set -e
index=$1 peer=$2 family=$3
other=$((3 - index))
own=$(ip -"$family" -o address show scope global up | sed -n 's/.* inet6\\{0,1\\} \\([^/]*\\).*/\\1/p' | head -n 1)
ip link add flannel.1 type vxlan id 1 dstport ${PORT} nolearning local "$own"
ip link set flannel.1 address 02:00:00:00:00:0$index mtu 1400 up
ip address add 10.244.$index.0/32 dev flannel.1
ip route add 10.244.$other.0/24 via 10.244.$other.0 dev flannel.1 onlink
ip neigh add 10.244.$other.0 lladdr 02:00:00:00:00:0$other dev flannel.1 nud permanent
bridge fdb add 02:00:00:00:00:0$other dev flannel.1 dst "$peer"
ip link add cni0 type bridge
ip address add 10.244.$index.1/24 dev cni0
ip link set cni0 up
unshare --net sleep infinity </dev/null >/dev/null 2>&1 &
pod=$!
echo $pod >/tmp/pod
until [ "$(readlink /proc/$pod/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add eth0 netns $pod mtu 1400 type veth peer name vp mtu 1400
ip link set vp master cni0 up
nsenter -t $pod -n sh -c "
  ip address add 10.244.$index.2/24 dev eth0
  ip link set eth0 up
  ip link set lo up
  ip route add default via 10.244.$index.1"
echo 1 >/proc/sys/net/ipv4/ip_forward`;

/** `family`: of the addresses outside. */
export async function startNodes(
  options: ContainerOptions = {},
  family: 'v4' | 'v6' = 'v4',
  farAnnotations: Readonly<Record<string, string>> = {},
): Promise<readonly [Node, Node]> {
  const ends = [
    { host: host1, peer: HOST2[family], index: 1 },
    { host: host2, peer: HOST1[family], index: 2 },
  ] as const;
  const nodes: Node[] = [];
  for (const { host, peer, index } of ends) {
    const container = await startContainer({
      ...options,
      annotations: { ...ENABLED, ...(index === 2 ? farAnnotations : {}) },
      args: ['--privileged', '--publish', `${PORT}:${PORT}/udp`, ...(options.args ?? [])],
      host,
    });
    await container.output(['bash', '-c', MAKE, 'bash', String(index), peer, family.slice(1)]);
    nodes.push({
      container,
      host,
      pod: `10.244.${index}.2`,
      serveIperf: () =>
        container.serve(
          'exec nsenter -t $(cat /tmp/pod) -n iperf3 --server --one-off',
          '[ -n "$(nsenter -t $(cat /tmp/pod) -n ss -Hltn \'sport = :5201\')" ]',
        ),
      inPod: (script) =>
        container.exec(['bash', '-c', `exec nsenter -t "$(cat /tmp/pod)" -n ${script}`]),
      tunnels: async () => {
        const json = await host.output(['sockswitch', 'tunnels', '--json']);
        const list = JSON.parse(json) as { tunnels: (Tunnel & { container: string })[] };
        return list.tunnels.find((tunnel) => tunnel.container === container.id);
      },
    });
  }
  const [near, far] = nodes;
  if (near === undefined || far === undefined) throw new Error('two nodes were started');
  return [near, far];
}

/** Waits until all peers of a node are carried. */
export function carried(node: Node): Promise<Tunnel> {
  return eventually('the tunnel is carried', async () => {
    const tunnel = await node.tunnels();
    const up = tunnel?.peers.length === 1 && tunnel.peers[0]?.state === 'up';
    return up ? tunnel : undefined;
  });
}

/** Waits until its only peer is on the fallback network. */
export function fallenBack(node: Node): Promise<string> {
  return eventually('the tunnel is on the fallback network', async () => {
    const peer = (await node.tunnels())?.peers[0];
    return peer?.state === 'fallback' ? peer.reason : undefined;
  });
}

export async function removeNodes(nodes: readonly Node[] | undefined): Promise<void> {
  for (const { container } of nodes ?? []) await container.remove();
}

const PULSE_SERVER = `
import socket
with socket.create_server(('', 7777)) as server:
    connection, _ = server.accept()
    while data := connection.recv(4096):
        connection.sendall(data)`;

const PULSE_CLIENT = `
import socket, sys, time
connection = socket.create_connection((sys.argv[1], 7777))
for beat in range(1, 1 << 30):
    connection.sendall(b'.')
    if connection.recv(1) != b'.': break
    with open('/tmp/pulse', 'w') as file: file.write(str(beat))
    time.sleep(0.02)`;

/** One TCP connection inside of the tunnel that is never made anew: it beats as long as it lives. */
export class Pulse {
  readonly #near: Node;

  private constructor(near: Node) {
    this.#near = near;
  }

  static async start(near: Node, far: Node): Promise<Pulse> {
    const inPod = 'exec nsenter -t $(cat /tmp/pod) -n';
    const listens = `[ -n "$(nsenter -t $(cat /tmp/pod) -n ss -Hltn 'sport = :7777')" ]`;
    await far.container.output(['tee', '/tmp/pulse.py'], { stdin: PULSE_SERVER });
    await near.container.output(['tee', '/tmp/pulse.py'], { stdin: PULSE_CLIENT });
    await far.container.serve(`${inPod} python3 /tmp/pulse.py`, listens);
    await near.container.serve(`${inPod} python3 /tmp/pulse.py ${far.pod}`, '[ -s /tmp/pulse ]');
    return new Pulse(near);
  }

  async #beats(): Promise<number> {
    return Number(await this.#near.container.output(['cat', '/tmp/pulse']));
  }

  /** Waits until the connection passes data again. */
  async beats(): Promise<void> {
    const before = await this.#beats();
    await eventually('the connection inside of the tunnel lives on', async () =>
      (await this.#beats()) > before ? true : undefined,
    );
  }
}
