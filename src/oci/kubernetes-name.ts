/**
 * What Kubernetes calls a container, where the engine that its kubelet asked has said so in the spec's annotations.
 *
 *   containerd   io.kubernetes.cri.sandbox-namespace, .sandbox-name, .container-name (pkg/cri/annotations)
 *   CRI-O        io.kubernetes.pod.namespace, io.kubernetes.pod.name, io.kubernetes.container.name: the kubelet's labels,
 *                which it copies (internal/factory/container)
 *
 * A pod's own container (the sandbox) has no container name with containerd, and "POD" with CRI-O.
 *
 * Whoever writes annotations writes these, too: they are for people to read and to type, and nothing is decided by
 * them. Only what Kubernetes accepts as a name is taken (RFC 1123), so they hold no character that could mislead.
 */

export interface KubernetesName {
  readonly namespace: string;
  readonly pod: string;
  /** Absent: the pod's sandbox. */
  readonly container?: string | undefined;
}

const CONTAINERD = {
  namespace: 'io.kubernetes.cri.sandbox-namespace',
  pod: 'io.kubernetes.cri.sandbox-name',
  container: 'io.kubernetes.cri.container-name',
};
const CRIO = {
  namespace: 'io.kubernetes.pod.namespace',
  pod: 'io.kubernetes.pod.name',
  container: 'io.kubernetes.container.name',
};
const CRIO_SANDBOX = 'POD';

/** Of a namespace or a container. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_POD = 253;

/** Undefined where the annotations do not say all of it, or say what cannot be a name. */
export function kubernetesName(
  annotations: Readonly<Record<string, string>>,
): KubernetesName | undefined {
  // CRI-O copies the annotations of a pod's author, containerd's keys among them; its own labels it writes after those.
  const ofCrio = annotations['io.container.manager'] === 'cri-o';
  return ofCrio
    ? named(annotations, CRIO)
    : (named(annotations, CONTAINERD) ?? named(annotations, CRIO));
}

function named(
  annotations: Readonly<Record<string, string>>,
  keys: typeof CONTAINERD,
): KubernetesName | undefined {
  const value = (key: string) => (Object.hasOwn(annotations, key) ? annotations[key] : undefined);
  const [namespace, pod, container] = [keys.namespace, keys.pod, keys.container].map(value);
  if (namespace === undefined || !LABEL.test(namespace)) return undefined;
  if (pod === undefined || !isSubdomain(pod)) return undefined;
  if (container === undefined || container === CRIO_SANDBOX) return { namespace, pod };
  return LABEL.test(container) ? { namespace, pod, container } : undefined;
}

function isSubdomain(text: string): boolean {
  return text.length <= MAX_POD && text.split('.').every((label) => LABEL.test(label));
}

/** `NAMESPACE/POD/CONTAINER`, or `NAMESPACE/POD` of a sandbox. Podman's names and ids hold no slash. */
export function printKubernetesName({ namespace, pod, container }: KubernetesName): string {
  return [namespace, pod, ...(container === undefined ? [] : [container])].join('/');
}
