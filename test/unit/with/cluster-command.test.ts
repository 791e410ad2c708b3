/** What commands say of their cluster's networks: every form of every tool, and what is wrong with it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { saidBy as read } from '../../../src/with/cluster-command.js';
import { annotationsFor, hostNetworksIn, saidBy } from '../../../src/with/options.js';

const KUBERNETES = { preset: 'kubernetes' } as const;
const KIND = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  ipFamily: dual
  podSubnet: "10.1.0.0/16,fd01::/56"
  serviceSubnet: 10.2.0.0/16,fd02::/112
`;
const KUBEADM = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint:
  bindPort: \${PORT_KUBE_APISERVER}
networking: {podSubnet: 10.9.0.0/16}
---
kind: ClusterConfiguration
controlPlaneEndpoint: "\${NODE_NAME}:\${PORT_KUBE_APISERVER}"
networking:
  serviceSubnet: "10.2.0.0/16"
  podSubnet: "10.1.0.0/16"
---
kind: KubeletConfiguration
port: \${PORT_KUBELET}
`;

const HOST = {
  lo: [interfaceWith('127.0.0.1/8', true)],
  lan0: [interfaceWith('10.96.7.9/24')],
};
function interfaceWith(cidr: string, internal = false) {
  const [address = ''] = cidr.split('/');
  return { address, cidr, internal, family: 'IPv4' as const, netmask: '', mac: '' };
}

let base: string;
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'cluster-'));
  mkdirSync(join(base, 'usernetes/sub'), { recursive: true });
  file('kind.yaml', KIND);
  file('kubeadm.yaml', KUBEADM);
  file('usernetes/kubeadm-config.yaml', KUBEADM);
});
afterAll(() => rmSync(base, { recursive: true }));

function file(name: string, text: string): string {
  writeFileSync(join(base, name), text);
  return join(base, name);
}

/** The command line with DIR for the directory of the files. */
function words(line: string): string[] {
  return line.split(' ').map((word) => word.replace('DIR', base));
}

async function ignored(line: string, options = {}): Promise<string[]> {
  const all = { ...KUBERNETES, ...options };
  const said = await saidBy(words(line), all);
  expect(said?.warnings ?? []).toEqual([]);
  return (await annotationsFor(all, said))['sockswitch/ignore']?.split(' ') ?? [];
}

async function warning(line: string): Promise<string> {
  const said = await read(words(line), ['pods', 'services']);
  expect(said.warnings).toHaveLength(1);
  expect(said, 'the usual networks stay').not.toHaveProperty('pods');
  expect(said).not.toHaveProperty('services');
  expect(said.warnings[0]).toMatch(/the usual networks .* give --pod-cidr and --service-cidr$/);
  return said.warnings[0]?.replaceAll(base, 'DIR') ?? '';
}

const ONE = ['10.1.0.0/16', '10.2.0.0/16'];

test.each([
  ['kind create cluster --config DIR/kind.yaml', 'dual'],
  ['kind create cluster --name x --config=DIR/kind.yaml --retain', 'dual'],
  ['kind -v 1 create cluster --config=DIR/kind.yaml', 'dual'],
  [
    'systemd-run --scope --user env A=b /usr/bin/kind create cluster --config DIR/kind.yaml',
    'dual',
  ],
  ['kubeadm init --config DIR/kubeadm.yaml'],
  ['kubeadm init --pod-network-cidr=10.1.0.0/16 --service-cidr 10.2.0.0/16'],
  ['podman run image kubeadm init --pod-network-cidr 10.1.0.0/16 --service-cidr=10.2.0.0/16'],
  ['make -C DIR/usernetes up'],
  ['make --directory=DIR/usernetes up kubeadm-join'],
  ['make --directory DIR -Cusernetes up'],
  ['make -C DIR/usernetes/sub -C .. up'],
  [
    'minikube start --driver=podman --service-cluster-ip-range=10.2.0.0/16 --extra-config=kubelet.a=b --extra-config=kubeadm.pod-network-cidr=10.1.0.0/16',
  ],
  [
    'minikube -p x start --service-cluster-ip-range 10.2.0.0/16 --extra-config kubeadm.pod-network-cidr=10.1.0.0/16',
  ],
  ['k3s server --rootless --cluster-cidr 10.1.0.0/16 --service-cidr=10.2.0.0/16'],
  [
    'podman run -d docker.io/rancher/k3s:v1.33.0-k3s1 server --cluster-cidr=10.1.0.0/16,fd01::/56 --service-cidr 10.2.0.0/16 --service-cidr fd02::/112',
    'dual',
  ],
])('%s', async (line, dual?: string) => {
  const expected = ['10.1.0.0/16', 'fd01::/56', '10.2.0.0/16', 'fd02::/112'];
  expect(await ignored(line)).toEqual(dual === 'dual' ? expected : ONE);
});

test('the working directory is the one of make without -C', async () => {
  const before = process.cwd();
  process.chdir(join(base, 'usernetes'));
  try {
    expect(await ignored('make up')).toEqual(ONE);
  } finally {
    process.chdir(before);
  }
});

test.each([
  ['kind create cluster', '10.244.0.0/16 fd00:10:244::/56 10.96.0.0/16 fd00:10:96::/112'],
  ['kind create cluster --config=', '10.244.0.0/16 fd00:10:244::/56 10.96.0.0/16 fd00:10:96::/112'],
  ['minikube start --driver=podman', '10.244.0.0/16 10.96.0.0/12'],
  ['kubeadm init', '10.244.0.0/16 10.96.0.0/12'],
  ['podman run docker.io/rancher/k3s server', '10.42.0.0/16 10.43.0.0/16'],
])("the tool's own usual networks: %s", async (line, expected) => {
  expect((await ignored(line)).join(' ')).toBe(expected);
});

test.each([
  'kind load docker-image --config DIR/kind.yaml',
  'make -C DIR up',
  'podman run -v DIR/usernetes:/u image make -C DIR/other up',
  'k3s agent --cluster-cidr=10.1.0.0/16',
  'sh -c kind',
  'true',
])('the usual networks of all tools: %s', async (line) => {
  const usual = (await annotationsFor(KUBERNETES))['sockswitch/ignore'];
  expect((await ignored(line)).join(' ')).toBe(usual);
});

describe('where one of both is named', () => {
  test('the other is what that tool takes', async () => {
    const path = file('pods.yaml', 'kind: Cluster\nnetworking:\n  podSubnet: 10.100.0.0/16\n');
    const kind = await ignored(`kind create cluster --config ${path}`);
    expect(kind).toEqual(['10.100.0.0/16', '10.96.0.0/16', 'fd00:10:96::/112']);
    const k3s = await ignored('k3s server --service-cidr 10.100.0.0/16');
    expect(k3s).toEqual(['10.42.0.0/16', '10.100.0.0/16']);
    const option = await ignored('k3s server', { podCidr: ['10.100.0.0/16'] });
    expect(option).toEqual(['10.100.0.0/16', '10.43.0.0/16']);
  });

  test('options win, and what they name is not looked at', async () => {
    const line = 'kind create cluster --config DIR/kind.yaml';
    const pods = await ignored(line, { podCidr: ['10.7.0.0/16'] });
    expect(pods).toEqual(['10.7.0.0/16', '10.2.0.0/16', 'fd02::/112']);
    const both = { podCidr: ['10.7.0.0/16'], serviceCidr: ['10.8.0.0/16'] };
    expect(await ignored('kind create cluster --config nowhere', both)).toEqual([
      '10.7.0.0/16',
      '10.8.0.0/16',
    ]);
    expect(await saidBy(words(line), {}), 'no preset').toBeUndefined();
  });
});

describe('a warning, and the usual networks', () => {
  test.each([
    [
      'kind create cluster --config DIR/nowhere.yaml',
      '"DIR/nowhere.yaml", which kind reads, cannot be read (ENOENT)',
    ],
    ['kind create cluster --config -', '"-", which kind reads, is its standard input'],
    ['kind create cluster --config DIR', '"DIR", which kind reads, is no regular file'],
    [
      'podman run image kubeadm init --config DIR/kubeadm.yaml',
      '"DIR/kubeadm.yaml", which kubeadm reads, is in a container',
    ],
    [
      'minikube start --service-cluster-ip-range 10.2.0/16',
      '--service-cluster-ip-range of minikube holds "10.2.0/16", which is no network',
    ],
    [
      'minikube start --extra-config=kubeadm.pod-network-cidr=10.0.0.0/33',
      '--extra-config kubeadm.pod-network-cidr of minikube holds "10.0.0.0/33"',
    ],
  ])('%s', async (line, expected) => {
    expect(await warning(line)).toContain(expected);
  });

  test.each([
    ['kind: Cluster\nnetworking: {podSubnet: [\n', 'is no YAML (', /at line \d/],
    [
      'kind: Cluster\nnetworking:\n  podSubnet: 10.1.0.0/16,10.2/8\n',
      'networking.podSubnet in line 3 of "DIR/bad.yaml" holds "10.2/8"',
    ],
    ['kind: Cluster\nnetworking:\n  podSubnet: 17\n', 'line 3 of "DIR/bad.yaml" holds "17"'],
    ['kind: Cluster\nnetworking:\n  podSubnet: &a [*a]\n', 'holds "a list or map"'],
    ['kind: Cluster\nnetworking: *none\npodSubnet: 1\n', 'is no YAML (', /alias/i],
  ])('%j', async (text, expected, also = /./) => {
    file('bad.yaml', text);
    const message = await warning('kind create cluster --config DIR/bad.yaml');
    expect(message).toContain(expected);
    expect(message).toMatch(also);
  });

  test('many aliases', async () => {
    const levels = Array.from({ length: 12 }, (_, n) => {
      const list =
        n === 0
          ? 'x'
          : Array(9)
              .fill(`*a${n - 1}`)
              .join(', ');
      return `a${n}: &a${n} [${list}]\n`;
    });
    file('bad.yaml', `${levels.join('')}kind: Cluster\nnetworking: {podSubnet: 10.1.0.0/16}\n`);
    expect(await warning('kind create cluster --config DIR/bad.yaml')).toContain('alias');
  });

  test('what a pipe has stays in it', async () => {
    const pipe = join(base, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(await warning('kind create cluster --config DIR/pipe')).toContain('no regular file');
  });
});

test('anchors and joined maps are followed, and empty values are none', async () => {
  file(
    'joined.yaml',
    'x: &x {podSubnet: 10.1.0.0/16}\nkind: Cluster\nnetworking: {<<: *x, serviceSubnet: ""}\n',
  );
  expect(await ignored('kind create cluster --config DIR/joined.yaml')).toEqual([
    '10.1.0.0/16',
    '10.96.0.0/16',
    'fd00:10:96::/112',
  ]);
});

test('overlaps are an error, and networks of this host get a warning, with the place', async () => {
  file(
    'overlap.yaml',
    'kind: Cluster\nnetworking:\n  podSubnet: 10.1.0.0/16\n  serviceSubnet: 10.1.4.0/24\n',
  );
  const overlap = await saidBy(words('kind create cluster --config DIR/overlap.yaml'), KUBERNETES);
  await expect(annotationsFor(KUBERNETES, overlap)).rejects.toThrow(
    /the pod CIDR 10\.1\.0\.0\/16 \(networking\.podSubnet in line 3 of ".*overlap\.yaml"\) and the service CIDR/,
  );
  const all = await saidBy(words('k3s server --cluster-cidr 0.0.0.0/0'), KUBERNETES);
  expect(await hostNetworksIn(KUBERNETES, all, HOST)).toEqual([
    "--cluster-cidr of k3s 0.0.0.0/0 overlaps 10.96.7.0/24, this host's network on lan0: what is in both is not accelerated, and a cluster may not reach it",
  ]);
});

test('usual networks that are this host’s, too, get a warning with a remedy', async () => {
  const warnings = async (line: string, options = {}) => {
    const all = { ...KUBERNETES, ...options };
    return hostNetworksIn(all, await saidBy(words(line), all), HOST);
  };
  const ofKind = await warnings('kind create cluster');
  expect(ofKind).toEqual([
    "10.96.0.0/16, a usual network of services, overlaps 10.96.7.0/24, this host's network on lan0: what is in both is not accelerated, and a cluster may not reach it: name the cluster's own by --service-cidr, and give it another one where that overlaps, too",
  ]);
  expect(await warnings('k3s server'), 'k3s has other ones').toEqual([]);
  expect(await warnings('sh -c kind'), 'all of the preset are on the list').toHaveLength(1);
  expect(await warnings('kind create cluster', { serviceCidr: ['10.8.0.0/16'] })).toEqual([]);
  expect(await hostNetworksIn({}, undefined, HOST), 'no preset').toEqual([]);
});
