/**
 * Clusters of two nodes, each a privileged container of rootless Podman, made by the command that docs/kubernetes.md has: `sockswitch with
 * --preset kubernetes -- podman run ...` with kind's options, or the same without acceleration.
 *
 * On pasta and slirp4netns the nodes are on two hosts, and reach each other by published ports, as with Usernetes. On a bridge they are on
 * one host and one Podman network, as with kind.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, inject } from 'vitest';
import { z } from 'zod';
import {
  describeResult,
  eventually,
  HOST1,
  HOST2,
  type Host,
  host1,
  host2,
  type Result,
  type RunOptions,
} from '../../integration/support/lab.js';
import { Container } from '../../integration/support/podman.js';

export const REGISTRY = 'remote.lab:5000';
/** Of workload.yaml. */
export const CLUSTER_IP = '10.96.7.7';
export const NODE_PORT = 30080;
/** Of node/start. */
export const API_TOKEN = 'a-secret-of-this-test';
const API_PORT = 6443;
/** Where the whole logs of a cluster that did not start are left. */
const LOGS = fileURLToPath(new URL('../../../build/test-results/kubernetes/', import.meta.url));

const BRIDGE = {
  name: 'kind',
  subnet: '10.89.77.0/24',
  addresses: ['10.89.77.11', '10.89.77.12'],
} as const;
const WITH = ['sockswitch', 'with', '--preset', 'kubernetes'];
/** As kind has it. */
const NODE_OPTIONS = [
  ...['--privileged', '--tmpfs', '/tmp', '--tmpfs', '/run', '--volume', '/var'],
  ...['--cgroupns=private', '--device', '/dev/fuse'],
];

export interface ClusterOptions {
  readonly network: 'pasta' | 'slirp4netns' | 'bridge';
  readonly accelerated: boolean;
  /** Whether connections of pods to public addresses are, too. */
  readonly podsEgress?: boolean;
  /**
   * Of a second cluster on the same hosts: added to the numbers of published ports. 100 will do; 1 takes the scheduler's port for the
   * kubelet's, which then ends again and again.
   */
  readonly portOffset?: number;
}

/** With and without acceleration. */
export const MODES = [
  { accelerated: false, podsEgress: false },
  { accelerated: true, podsEgress: false },
  { accelerated: true, podsEgress: true },
];

export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly address: string;
  readonly ready: boolean;
  readonly restarts: number;
}

const podsSchema = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string(), deletionTimestamp: z.string().optional() }),
      spec: z.object({ nodeName: z.string().optional() }),
      status: z.object({
        podIP: z.string().optional(),
        containerStatuses: z
          .array(z.object({ ready: z.boolean(), restartCount: z.int() }))
          .optional(),
      }),
    }),
  ),
});

const nodesSchema = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      status: z.object({
        conditions: z.array(z.object({ type: z.string(), status: z.string() })),
      }),
    }),
  ),
});

const socketsSchema = z.object({
  sockets: z.array(z.object({ container: z.string(), remote: z.string() })),
});

/** A `describe` for tests with clusters: skipped, with the reason in its name, where there can be none. */
export function describeOnClusters(name: string, body: () => void): void {
  const { unavailable } = inject('kubernetes');
  if (unavailable === undefined) describe(name, body);
  else describe.skip(`${name} (skipped: ${unavailable})`, body);
}

export class ClusterNode extends Container {
  /** By which the other node reaches it. */
  readonly address: string;
  /** Where remote reaches its node port. */
  readonly published: { readonly address: string; readonly port: number };

  constructor(
    host: Host,
    id: string,
    name: string,
    { address, published }: Pick<ClusterNode, 'address' | 'published'>,
  ) {
    super(host, id, name);
    this.address = address;
    this.published = published;
  }

  /** Of the first process of a pod's container, as the node numbers it. */
  async pidOf({ name }: Pod): Promise<number> {
    const script = `
ids=$(ctr --namespace k8s.io containers list --quiet \
  "labels.\\"io.kubernetes.pod.name\\"==$1,labels.\\"io.cri-containerd.kind\\"==container")
ctr --namespace k8s.io tasks list | grep RUNNING | grep --fixed-strings "$ids" | awk 'NR == 1 { print $2 }'`;
    const { stdout } = await this.sh(script, [name]);
    if (!/^\d+\n$/.test(stdout)) throw new Error(`${name} has no process on ${this.name}`);
    return Number(stdout);
  }

  /** A command of the node in the network namespace of a pod, for programs that the pod's image lacks. */
  async inPod(pod: Pod, command: readonly string[]): Promise<Result> {
    const enter = ['nsenter', '--target', String(await this.pidOf(pod)), '--net', '--'];
    return this.exec([...enter, ...command]);
  }

  /** The kernel's socket addresses of what is switched, as `sockswitch sockets` lists them. */
  async switchedTo(): Promise<readonly string[]> {
    const json = await this.host.output(['sockswitch', 'sockets', '--json', this.id]);
    return socketsSchema.parse(JSON.parse(json)).sockets.map(({ remote }) => remote);
  }
}

export class Cluster {
  readonly nodes: readonly [ClusterNode, ClusterNode];
  readonly apiPort: number;

  private constructor(nodes: readonly [ClusterNode, ClusterNode], portOffset: number) {
    this.nodes = nodes;
    this.apiPort = API_PORT + portOffset;
  }

  /** Returns when both nodes are Ready and the workload runs. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    const nodes = [await startNode(options, 0), await startNode(options, 1)] as const;
    const cluster = new Cluster(nodes, options.portOffset ?? 0);
    try {
      await cluster.ready();
    } catch (error) {
      const logs = await cluster.#logs();
      await cluster.remove();
      throw new Error(`${error}\n${logs}`);
    }
    return cluster;
  }

  async ready(): Promise<void> {
    await this.nodesReady();
    const manifest = await readManifest();
    // Refused until the default service account is there.
    await eventually('the workload is accepted', async () => {
      const { status } = await this.run(['apply', '-f', '-'], { stdin: manifest });
      return status === 0 ? true : undefined;
    });
    await this.podsReady();
  }

  nodesReady(): Promise<true> {
    return this.#eventually('both nodes are Ready', async () => {
      const { status, stdout } = await this.run(['get', 'nodes', '--output=json']);
      if (status !== 0) return undefined;
      const ready = nodesSchema
        .parse(JSON.parse(stdout))
        .items.filter(({ status: { conditions } }) =>
          conditions.some((one) => one.type === 'Ready' && one.status === 'True'),
        );
      return ready.length === 2 ? true : undefined;
    });
  }

  /** Waits until `count` pods are there and ready. */
  podsReady(count = 6): Promise<readonly Pod[]> {
    return this.#eventually(`${count} pods are ready`, async () => {
      const pods = await this.pods();
      return pods?.length === count && pods.every(({ ready }) => ready) ? pods : undefined;
    });
  }

  /** Waits until kube-proxy of both nodes leads to both servers: it follows what becomes ready. */
  async servicesReady(): Promise<void> {
    const pods = [await this.pod('server-1'), await this.pod('server-2')];
    const script = `rules=$(iptables-save -t nat) && for address; do grep -qF -- "DNAT --to-destination $address:80" <<<"$rules" || exit; done`;
    for (const node of this.nodes) {
      await this.#eventually(`kube-proxy of ${node.name} leads to both servers`, async () => {
        const { status } = await node.sh(
          script,
          pods.map(({ address }) => address),
        );
        return status === 0 ? true : undefined;
      });
    }
  }

  /** Those that are not being deleted; undefined when the API server does not answer. */
  async pods(): Promise<readonly Pod[] | undefined> {
    const { status, stdout } = await this.run(['get', 'pods', '--output=json']);
    if (status !== 0) return undefined;
    return podsSchema
      .parse(JSON.parse(stdout))
      .items.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map((pod) => ({
        name: pod.metadata.name,
        node: pod.spec.nodeName ?? '',
        address: pod.status.podIP ?? '',
        ready: pod.status.containerStatuses?.every(({ ready }) => ready) ?? false,
        restarts: pod.status.containerStatuses?.[0]?.restartCount ?? 0,
      }));
  }

  async pod(name: string): Promise<Pod> {
    const pod = (await this.pods())?.find((one) => one.name === name);
    if (pod === undefined) throw new Error(`there is no pod ${name}`);
    return pod;
  }

  /** `kubectl`, on the control plane. */
  run(words: readonly string[], options: RunOptions = {}): Promise<Result> {
    return this.nodes[0].exec(['kubectl', ...words], options);
  }

  /** Standard output of a `kubectl` that must succeed. */
  async kubectl(words: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(words, options);
    if (result.status !== 0) throw new Error(describeResult(['kubectl', ...words], result));
    return result.stdout;
  }

  /** A shell command in a pod. */
  inPod(pod: string, script: string): Promise<string> {
    return this.kubectl(['exec', pod, '--', 'sh', '-c', script]);
  }

  /** Stops all of its processes, those of pods included. */
  async pause(): Promise<void> {
    for (const { host, id } of this.nodes) await host.output(['podman', 'pause', id]);
  }

  async resume(): Promise<void> {
    for (const { host, id } of this.nodes) await host.output(['podman', 'unpause', id]);
    // Until then each of its commands has seen that time has passed, and has done what it does about that.
    await setTimeout(5_000);
    await this.nodesReady();
  }

  async remove(): Promise<void> {
    for (const { host, name } of this.nodes) await removeNode(host, name);
  }

  /** As `eventually`; the error has what Kubernetes knows of nodes and pods. */
  async #eventually<T>(what: string, probe: () => Promise<T | undefined>): Promise<T> {
    try {
      return await eventually(what, probe);
    } catch (error) {
      const { stdout, stderr } = await this.run(['get', 'nodes,pods', '--output=wide']);
      throw new Error(`${error}\n${stdout}${stderr}`);
    }
  }

  /** What ended a command, and the end of all logs. The whole of them is left in LOGS. */
  async #logs(): Promise<string> {
    const parts = this.nodes.map(async (node) => {
      const { stdout, stderr } = await node.logs();
      const end = await node.sh(
        `cd /var/log/kubernetes; grep '^F[0-9]' *.log | tail --lines=3; tail --lines=5 *.log`,
      );
      const whole = await node.sh('tail --lines=+1 /var/log/kubernetes/*.log');
      const file = `${LOGS}${node.name}.log`;
      await mkdir(LOGS, { recursive: true });
      await writeFile(file, whole.stdout);
      return `${node.name}: ${stdout}${stderr}\n${end.stdout}\nThe whole logs: ${file}`;
    });
    return (await Promise.all(parts)).join('\n');
  }
}

/** A container of a node's image with containerd alone and the host's network: what a node is compared with. */
export class HostNetworkNode extends Container {
  static async start(host: Host): Promise<HostNetworkNode> {
    const name = 'host-network';
    const registry = `/etc/containerd/certs.d/${REGISTRY}`;
    const words = [
      ...['podman', 'run', '--detach', '--name', name, ...NODE_OPTIONS, '--network', 'host'],
      ...[inject('kubernetes').image, 'sh', '-c'],
      `mkdir -p ${registry} && echo '[host."http://${REGISTRY}"]' >${registry}/hosts.toml && exec containerd`,
    ];
    const node = new HostNetworkNode(host, (await host.output(words)).trim(), name);
    await eventually('containerd on the host network', async () =>
      (await node.exec(['ctr', 'version'])).status === 0 ? true : undefined,
    );
    return node;
  }

  override remove(): Promise<void> {
    return removeNode(this.host, this.name);
  }
}

/** With the volume of /var. */
async function removeNode(host: Host, name: string): Promise<void> {
  await host.run(['podman', 'rm', '--force', '--volumes', '--time', '0', '--ignore', name]);
}

async function readManifest(): Promise<string> {
  return readFile(new URL('../workload.yaml', import.meta.url), 'utf8');
}

/** `which`: 0 is the control plane. */
async function startNode(options: ClusterOptions, which: 0 | 1): Promise<ClusterNode> {
  const { network, accelerated, podsEgress = false, portOffset = 0 } = options;
  const onBridge = network === 'bridge';
  const host = which === 0 || onBridge ? host1 : host2;
  const addresses = onBridge ? BRIDGE.addresses : ([HOST1.v4, HOST2.v4] as const);
  const name = `${accelerated ? 'switched' : 'plain'}-node-${which + 1}`;
  const address = addresses[which];
  const other = 1 - which;
  const [api, kubelet, tunnel] = [API_PORT + portOffset, 10250 + portOffset, 8472 + portOffset];
  // Of two nodes on one host each has its own.
  const nodePort = NODE_PORT + portOffset + (onBridge ? which : 0);
  const published = [
    `${nodePort}:${NODE_PORT}`,
    ...(onBridge ? [] : [`${api}:${api}`, `${kubelet}:${kubelet}`, `${tunnel}:${tunnel}/udp`]),
  ];
  if (onBridge) {
    const { name: bridge, subnet } = BRIDGE;
    const create = `podman network exists ${bridge} || podman network create --subnet ${subnet} ${bridge}`;
    await host.output(['sh', '-c', create]);
  }
  const environment = {
    REGISTRY,
    NODE_ADDRESS: address,
    PEERS: `${other + 1}=${addresses[other]}`,
    API_PORT: api,
    KUBELET_PORT: kubelet,
    TUNNEL_PORT: tunnel,
  };
  const words = [
    ...(accelerated ? [...WITH, '--pods', podsEgress ? 'egress' : 'none', '--'] : []),
    ...['podman', 'run', '--detach', '--name', name, '--hostname', `node-${which + 1}`],
    ...NODE_OPTIONS,
    ...['--network', onBridge ? `${BRIDGE.name}:ip=${address}` : network],
    ...published.flatMap((port) => ['--publish', port]),
    ...Object.entries(environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
    ...[
      '--volume',
      '/opt/sockswitch/test/kubernetes/node:/kubernetes:ro',
      inject('kubernetes').image,
    ],
    ...['/kubernetes/start', `node-${which + 1}`, String(which + 1)],
    ...(which === 0 ? ['control-plane'] : ['worker', addresses[0]]),
  ];
  const id = (await host.output(words)).trim().split('\n').at(-1) ?? '';
  const outside = host === host1 ? HOST1.v4 : HOST2.v4;
  return new ClusterNode(host, id, name, {
    address,
    published: { address: outside, port: nodePort },
  });
}
