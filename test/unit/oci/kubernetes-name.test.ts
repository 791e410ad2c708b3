import { expect, test } from 'vitest';
import { kubernetesName, printKubernetesName } from '../../../src/oci/kubernetes-name.js';

const containerd = (namespace: string, pod: string, container?: string) => ({
  'io.kubernetes.cri.sandbox-namespace': namespace,
  'io.kubernetes.cri.sandbox-name': pod,
  ...(container === undefined ? {} : { 'io.kubernetes.cri.container-name': container }),
});
const crio = (namespace: string, pod: string, container: string) => ({
  'io.container.manager': 'cri-o',
  'io.kubernetes.pod.namespace': namespace,
  'io.kubernetes.pod.name': pod,
  'io.kubernetes.container.name': container,
});
const shown = (annotations: Record<string, string>) => {
  const name = kubernetesName(annotations);
  return name === undefined ? undefined : printKubernetesName(name);
};

test.each([
  ['containerd', containerd('default', 'web-0.x', 'nginx'), 'default/web-0.x/nginx'],
  ["containerd's sandbox", containerd('kube-system', 'dns'), 'kube-system/dns'],
  ['CRI-O', crio('default', 'web', 'nginx'), 'default/web/nginx'],
  ["CRI-O's sandbox", crio('default', 'web', 'POD'), 'default/web'],
])('%s', (_what, annotations, name) => {
  expect(shown(annotations)).toBe(name);
});

test('names as long as can be', () => {
  const pod = `${'p.'.repeat(126)}p`;
  expect(kubernetesName(containerd('n'.repeat(63), pod, 'c'))?.pod).toBe(pod);
});

test('what a pod annotates does not take the place of what CRI-O says', () => {
  expect(shown({ ...containerd('kube-system', 'dns', 'x'), ...crio('default', 'web', 'a') })).toBe(
    'default/web/a',
  );
});

test.each([
  ['nothing', {}],
  ["Podman's own", { 'io.container.manager': 'libpod', 'io.kubernetes.cri-o.SandboxID': 'a' }],
  ['no pod', { 'io.kubernetes.cri.sandbox-namespace': 'default' }],
  ['no namespace', { 'io.kubernetes.cri.sandbox-name': 'web' }],
  ['empty', containerd('', '', '')],
  ['an escape', containerd('default', 'web\u001b[2J', 'nginx')],
  ['a line', containerd('default', 'web\n', 'nginx')],
  ['a slash', containerd('default', 'web/nginx', 'x')],
  ['another script', containerd('dеfault', 'web', 'nginx')],
  ['capitals', containerd('default', 'Web', 'nginx')],
  ['no label', containerd('default', 'web..x', 'nginx')],
  ['a hyphen at the end', containerd('default', 'web-', 'nginx')],
  ['a namespace with a dot', containerd('kube.system', 'web', 'nginx')],
  ['too long a namespace', containerd('n'.repeat(64), 'web', 'nginx')],
  ['too long a pod', containerd('default', `${'p.'.repeat(127)}p`, 'nginx')],
  ['a bad container', containerd('default', 'web', 'ng inx')],
  ['megabytes', containerd('default', 'p'.repeat(5_000_000), 'nginx')],
])('not taken: %s', (_what, annotations) => {
  expect(kubernetesName(annotations)).toBeUndefined();
});
