/**
 * Two containers, on host1 and host2, with a VXLAN between them as flannel makes it, and a pod behind a bridge in each: what
 * tests of tunnels start from.
 */
import { killDaemon, startDaemon } from './daemon.js';
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
index=$1 peer=$2 family=$3 way=$4
other=$((3 - index))
own=$(ip -"$family" -o address show scope global up | sed -n 's/.* inet6\\{0,1\\} \\([^/]*\\).*/\\1/p' | head -n 1)
outside=$(ip -o route get "$peer" | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
device="vxlan id 1 dstport ${PORT} nolearning local $own"
if [ "$way" != flannel ]; then device="$device remote $peer"; fi
if [ "$way" != remote ]; then device="$device dev $outside"; fi
ip link add flannel.1 type $device
ip link set flannel.1 address 02:00:00:00:00:0$index mtu 1400 up
ip address add 10.244.$index.0/32 dev flannel.1
ip route add 10.244.$other.0/24 via 10.244.$other.0 dev flannel.1 onlink
ip neigh add 10.244.$other.0 lladdr 02:00:00:00:00:0$other dev flannel.1 nud permanent
if [ "$way" = flannel ]; then bridge fdb add 02:00:00:00:00:0$other dev flannel.1 dst "$peer"; fi
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

/**
 * `family`: of the addresses outside. `way`: as flannel and Calico make the device, on an interface and with the peers in its forwarding
 * database; or with one peer for everything, found by the routing table or by an interface.
 */
export async function startNodes(
  options: ContainerOptions = {},
  family: 'v4' | 'v6' = 'v4',
  farAnnotations: Readonly<Record<string, string>> = {},
  way: 'flannel' | 'remote' | 'bound-remote' = 'flannel',
): Promise<readonly [Node, Node]> {
  const ends = [
    { host: host1, peer: HOST2[family], index: 1 },
    { host: host2, peer: HOST1[family], index: 2 },
  ] as const;
  const nodes: Node[] = [];
  for (const { host, peer, index } of ends) {
    const container = await startContainer({
      ...options,
      annotations: { ...ENABLED, ...options.annotations, ...(index === 2 ? farAnnotations : {}) },
      args: ['--privileged', '--publish', `${PORT}:${PORT}/udp`, ...(options.args ?? [])],
      host,
    });
    const made = [String(index), peer, family.slice(1), way];
    await container.output(['bash', '-c', MAKE, 'bash', ...made]);
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

const FAR_END = `
import socket, threading
def serve(port, answer):
    with socket.create_server(('', port)) as server:
        connection, _ = server.accept()
        while data := connection.recv(1 << 16):
            if answer: connection.sendall(data)
threading.Thread(target=serve, args=(7778, False)).start()
serve(7777, True)`;

const NEAR_END = `
import os, socket, sys, threading, time
def drive(port, data, pause, name):
    connection = socket.create_connection((sys.argv[1], port))
    for count in range(1, 1 << 30):
        connection.sendall(data)
        if pause and connection.recv(1) != data: break
        with open('/tmp/new-' + name, 'w') as file: file.write(str(count))
        os.replace('/tmp/new-' + name, '/tmp/' + name)
        time.sleep(pause)
threading.Thread(target=drive, args=(7778, bytes(1 << 18), 0, 'load')).start()
drive(7777, b'.', 0.02, 'pulse')`;

/** TCP connections inside of the tunnel that are never made anew: one that asks and waits for the answer, and load, if asked for. */
export class Inner {
  readonly #near: Container;
  readonly #names: readonly string[];

  private constructor(near: Container, names: readonly string[]) {
    this.#near = near;
    this.#names = names;
  }

  static async start(near: Node, far: Node, { load = false } = {}): Promise<Inner> {
    const inPod = 'echo $$ >/tmp/inner; exec nsenter -t $(cat /tmp/pod) -n python3 /tmp/inner.py';
    const listens = `nsenter -t $(cat /tmp/pod) -n ss -Hltn | awk '/:777[78] / { n++ } END { exit n != 2 }'`;
    const nearEnd = load ? NEAR_END : NEAR_END.replace(/^threading.*\n/m, '');
    const names = load ? ['pulse', 'load'] : ['pulse'];
    // One pair of programs at a time.
    const end = 'kill $(cat /tmp/inner); rm -f /tmp/pulse /tmp/load; true';
    for (const { container } of [near, far]) await container.output(['sh', '-c', end]);
    await far.container.output(['tee', '/tmp/inner.py'], { stdin: FAR_END });
    await near.container.output(['tee', '/tmp/inner.py'], { stdin: nearEnd });
    await far.container.serve(inPod, listens);
    await near.container.serve(
      `${inPod} ${far.pod}`,
      names.map((name) => `[ -s /tmp/${name} ]`).join(' && '),
    );
    return new Inner(near.container, names);
  }

  async #counts(): Promise<readonly number[]> {
    const files = this.#names.map((name) => `/tmp/${name}`);
    const text = await this.#near.output([
      'sh',
      '-c',
      'for f; do cat $f; echo; done',
      'sh',
      ...files,
    ]);
    return text.trim().split('\n').map(Number);
  }

  /** Waits until each of the connections passes data. */
  async live(): Promise<void> {
    const before = await this.#counts();
    await eventually('the connections inside of the tunnel live on', async () => {
      const now = await this.#counts();
      return now.every((count, i) => count > (before[i] ?? 0)) ? true : undefined;
    });
  }
}

/** Kills daemons under load, in turn this end's and the other's, and lets them come back; connections inside live on. */
export async function killDaemons(nodes: readonly [Node, Node], times: number): Promise<void> {
  const inner = await Inner.start(...nodes, { load: true });
  for (let time = 0; time < times; time++) {
    const { host } = nodes[time % 2 === 0 ? 0 : 1];
    await inner.live();
    await killDaemon(host);
    await inner.live(); // over the fallback network
    await startDaemon(host);
    await carried(nodes[0]);
    await carried(nodes[1]);
  }
  await inner.live();
}
