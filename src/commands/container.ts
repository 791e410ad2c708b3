/**
 * What people call a container: by Kubernetes's name where its engine has said one, otherwise by Podman's, otherwise by
 * the beginning of its id. All three are understood where a verb takes a container; the daemon knows ids.
 */
import type { ControlClient } from '../api/client.js';
import { ApiError, type ContainerRow } from '../api/protocol.js';
import { printKubernetesName } from '../oci/kubernetes-name.js';
import { containerNames } from '../podman/container-names.js';

type Names = ReadonlyMap<string, string>;

const SHORT_ID = 12;

export function shortId(id: string): string {
  return id.slice(0, SHORT_ID);
}

/** By id, of the containers that have one. */
export function shownNames(rows: readonly ContainerRow[], podmans: Names): Names {
  const kubernetes = rows.flatMap(({ id, kubernetes: name }) =>
    name === undefined ? [] : [[id, printKubernetesName(name)] as const],
  );
  return new Map([...podmans, ...kubernetes]);
}

/** The same, asked of the daemon and of Podman. */
export async function askNames(client: ControlClient): Promise<Names> {
  const [{ containers }, podmans] = await Promise.all([client.containers(), containerNames()]);
  return shownNames(containers, podmans);
}

/** A name wins over an id's beginning, as in Podman. Throws ApiError. */
export async function containerId(client: ControlClient, given: string): Promise<string> {
  const { containers, incidents } = await client.containers();
  if (containers.some(({ id }) => id === given)) return given;
  const inKubernetes = idsOfKubernetesName(containers, given);
  if (inKubernetes.length > 1) {
    throw new ApiError(
      'ambiguous',
      `${inKubernetes.length} containers are called ${given}: give an id of ${inKubernetes.map(shortId).join(', ')}`,
    );
  }
  if (inKubernetes[0] !== undefined) return inKubernetes[0];
  const named = [...(await containerNames())].find(([, name]) => name === given)?.[0];
  if (named === undefined) return given;
  if (containers.some(({ id }) => id === named)) return named;
  if (incidents.some(({ container }) => container === named)) return named; // the daemon says why
  throw new ApiError(
    'not-found',
    `container ${given} is not running with acceleration: start it with --annotation sockswitch/enable=true, and see "sockswitch ps" for why not`,
  );
}

export function idsOfKubernetesName(rows: readonly ContainerRow[], given: string): string[] {
  const ids = rows
    .filter(({ kubernetes: name }) => name !== undefined && printKubernetesName(name) === given)
    .map(({ id }) => id);
  return [...new Set(ids)];
}
